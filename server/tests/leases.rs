//! A model of `docs/leases.md`, checked in all orders of events: changes, leases, pauses, lost notifications, lost
//! connections and crashes of the database. Names are those of the protocol's text.
//!
//! There is one node that verifies; changes are made by it and by another. More nodes would only make a change wait for
//! more, so that it is answered later. Time is counted in ticks; a step may come at any time or never, which is what a
//! pause, a slow network and a lost notification are.

use stateright::{Checker, HasDiscoveries, Model, Property};

/// Ticks that a lease lasts.
const LEASE: u8 = 2;

/// The protocol, or one without a part of it: that the model finds what goes wrong then shows that it would find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Whole,
    /// A change is answered without waiting for other nodes.
    NobodyIsWaitedFor,
    /// A lease is used without asking, once it is committed, what was changed.
    LeaseIsUsedUnread,
    /// A lease is counted from when it was granted rather than from when it was asked for.
    LeaseCountsFromTheGrant,
    /// Memory is looked up before the lease rather than after it.
    LookupBeforeTheLease,
    /// A node that could not follow its own change goes on with its lease.
    OwnChangeMayBeMissing,
}

/// The protocol, in a world of so many ticks and changes.
#[derive(Clone, Copy, Debug)]
struct Leases {
    protocol: Protocol,
    ticks: u8,
    changes: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Node {
    /// In the database: until when others wait for it, and what it has said that it followed.
    row_until: u8,
    row_applied: u8,
    /// In its memory: the last change that it has followed, and until when it answers from there.
    applied: u8,
    until: u8,
    /// An extension of the lease in progress.
    extension: Option<Extension>,
    /// What was read of the changes, and is not in memory yet; with when the lease was asked for that it completes.
    read: Option<(u8, Option<u8>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Extension {
    Asked { at: u8 },
    Granted { asked: u8, at: u8 },
}

/// A change that takes a right away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Change {
    /// Whether the node made it that verifies.
    is_own: bool,
    committed_at: u8,
    is_settled_at_home: bool,
    is_answered: bool,
}

/// One verification. It may see that of every change that was answered before it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Verification {
    Begun { answered: u8 },
    LeaseSeen { answered: u8 },
    LookedUp { answered: u8, saw: u8 },
    Done { answered: u8, saw: u8 },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct World {
    now: u8,
    node: Node,
    changes: Vec<Change>,
    verification: Option<Verification>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Event {
    Tick,
    Ask,
    Grant,
    LoseConnection,
    Read,
    TakeIn,
    Tell,
    DatabaseCrash,
    Commit { is_own: bool },
    SettleAtHome(usize),
    TestResponse(usize),
    Begin,
    Step,
}

impl World {
    fn revision(&self) -> u8 {
        u8::try_from(self.changes.len()).unwrap_or(u8::MAX)
    }

    /// The last change that was answered; changes have no rights in common, so that the highest counts.
    fn answered(&self) -> u8 {
        let last = self.changes.iter().rposition(|change| change.is_answered);
        last.map_or(0, |index| u8::try_from(index + 1).unwrap_or(u8::MAX))
    }
}

impl Model for Leases {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        vec![World::default()]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        events.extend([
            Event::Tick,
            Event::Ask,
            Event::Grant,
            Event::LoseConnection,
            Event::Read,
            Event::TakeIn,
        ]);
        events.extend([Event::Tell, Event::DatabaseCrash, Event::Begin, Event::Step]);
        events.extend([true, false].map(|is_own| Event::Commit { is_own }));
        for change in 0..world.changes.len() {
            events.extend([Event::SettleAtHome(change), Event::TestResponse(change)]);
        }
    }

    fn next_state(&self, before: &World, event: Event) -> Option<World> {
        let mut world = before.clone();
        let (now, revision, answered) = (world.now, world.revision(), world.answered());
        let node = &mut world.node;
        match event {
            Event::Tick if now < self.ticks => world.now += 1,
            Event::Ask if node.extension.is_none() => node.extension = Some(Extension::Asked { at: now }),
            Event::Grant => {
                let Some(Extension::Asked { at: asked }) = node.extension else { return None };
                node.extension = Some(Extension::Granted { asked, at: now });
                node.row_until = now + LEASE;
                if self.protocol == Protocol::LeaseIsUsedUnread {
                    node.until = asked + LEASE;
                    node.extension = None;
                }
            }
            Event::LoseConnection => (node.extension, node.read) = (None, None),
            // Told by a notification, or as the second part of an extension; one at a time.
            Event::Read if node.read.is_none() => {
                let lease = match node.extension {
                    Some(Extension::Granted { asked, at }) => {
                        node.extension = None;
                        Some(
                            if self.protocol == Protocol::LeaseCountsFromTheGrant { at + 1 } else { asked }
                                + LEASE,
                        )
                    }
                    _ => None,
                };
                node.read = Some((revision, lease));
            }
            Event::TakeIn => {
                let (read, lease) = node.read.take()?;
                node.applied = node.applied.max(read);
                node.until = lease.unwrap_or(node.until);
            }
            Event::Tell => node.row_applied = node.applied,
            // What was told without waiting for the disk may be forgotten; leases are not.
            Event::DatabaseCrash => node.row_applied = 0,
            Event::Commit { is_own } if revision < self.changes => world.changes.push(Change {
                is_own,
                committed_at: now,
                is_settled_at_home: !is_own || self.protocol == Protocol::OwnChangeMayBeMissing,
                is_answered: false,
            }),
            Event::SettleAtHome(change) => {
                // While something that was read is being taken in, nobody else may.
                let is_settled = &mut world.changes.get_mut(change)?.is_settled_at_home;
                if *is_settled || node.read.is_some() {
                    return None;
                }
                if usize::from(node.applied) <= change {
                    node.until = 0;
                }
                *is_settled = true;
            }
            Event::TestResponse(change) => {
                let number = change + 1;
                let change = world.changes.get_mut(change)?;
                let is_behind = usize::from(node.row_applied) < number && node.row_until > now;
                let is_waiting = !change.is_own && is_behind && now < change.committed_at + LEASE;
                let waits = is_waiting && self.protocol != Protocol::NobodyIsWaitedFor;
                if change.is_answered || !change.is_settled_at_home || waits {
                    return None;
                }
                change.is_answered = true;
            }
            Event::Begin if world.verification.is_none() => {
                world.verification = Some(Verification::Begun { answered });
            }
            Event::Step => {
                world.verification = Some(match world.verification? {
                    Verification::Begun { answered } if self.protocol == Protocol::LookupBeforeTheLease => {
                        Verification::LookedUp { answered, saw: node.applied }
                    }
                    Verification::Begun { answered } | Verification::LookedUp { answered, .. }
                        if now >= node.until =>
                    {
                        // No lease: the database is asked.
                        Verification::Done { answered, saw: revision }
                    }
                    Verification::Begun { answered } => Verification::LeaseSeen { answered },
                    Verification::LookedUp { answered, saw, .. } => Verification::Done { answered, saw },
                    Verification::LeaseSeen { answered } => {
                        Verification::Done { answered, saw: node.applied }
                    }
                    Verification::Done { .. } => return None,
                });
            }
            _ => return None,
        }
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(
                "nobody is let in by what was taken away before",
                |_, world: &World| !matches!(world.verification, Some(Verification::Done { answered, saw }) if saw < answered),
            ),
            Property::sometimes("a verification is answered from memory", |_, world: &World| {
                matches!(world.verification, Some(Verification::LeaseSeen { .. }))
            }),
            Property::sometimes("a change is answered before leases have run out", |_, world: &World| {
                world
                    .changes
                    .iter()
                    .any(|change| change.is_answered && world.now < change.committed_at + LEASE)
                    && world.node.until > world.now
            }),
            Property::sometimes(
                "a verification overtakes a change that it began before",
                |_, world: &World| matches!(world.verification, Some(Verification::Done { saw, .. }) if saw < world.answered()),
            ),
        ]
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[test]
fn no_order_of_events_lets_anybody_in_who_was_locked_out_before() {
    // Two changes make it ten million states.
    let (ticks, changes) = if std::env::var_os("TORTURE").is_some() { (4, 2) } else { (5, 1) };
    let checked =
        Leases { protocol: Protocol::Whole, ticks, changes }.checker().threads(threads()).spawn_bfs().join();
    checked.assert_properties();
    assert!(checked.unique_state_count() > 500_000, "it did not look far: {}", checked.unique_state_count());
}

#[test]
fn without_any_part_of_the_protocol_the_model_shows_who_is_let_in_wrongly() {
    for protocol in [
        Protocol::NobodyIsWaitedFor,
        Protocol::LeaseIsUsedUnread,
        Protocol::LeaseCountsFromTheGrant,
        Protocol::LookupBeforeTheLease,
        Protocol::OwnChangeMayBeMissing,
    ] {
        let checked = Leases { protocol, ticks: 4, changes: 1 }
            .checker()
            .threads(threads())
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_bfs()
            .join();
        let found = checked.discovery("nobody is let in by what was taken away before");
        assert!(found.is_some(), "{protocol:?} is enough");
    }
}
