//! Checks a model of the protocol in `docs/leases.md` in all orders of events: changes, leases, pauses, lost
//! notifications, lost connections and crashes of the database. The terms are those of that document.
//!
//! The model has one node that verifies. Changes are committed by this node, or by another one. With more nodes, a
//! change would only wait longer before it is acknowledged. Time is counted in ticks. A step may happen at any time or
//! never, which models a pause, a slow network and a lost notification.

use stateright::{Checker, HasDiscoveries, Model, Property};

/// Duration of a lease, in ticks.
const LEASE_DURATION: u8 = 2;

/// The property that the protocol guarantees.
const NO_STALE_VERIFICATION: &str = "a verification sees every change that was acknowledged before it began";

/// The complete protocol, or the protocol without one of its rules. The model must find a violation without the rule,
/// which shows that it can find violations of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Complete,
    /// A change is acknowledged without a wait for other nodes.
    ChangeDoesNotWait,
    /// A lease is used as soon as it is committed, before the changes are read.
    LeaseUsedBeforeRead,
    /// The duration of a lease counts from its grant, not from its request.
    LeaseCountsFromGrant,
    /// The index is looked up before the lease is checked, not after.
    LookupBeforeLeaseCheck,
    /// A node that could not apply its own change keeps its lease.
    LeaseKeptWithoutOwnChange,
}

/// The protocol, with limits of the time and of the number of changes.
#[derive(Clone, Copy, Debug)]
struct Leases {
    protocol: Protocol,
    ticks: u8,
    changes: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Node {
    /// The node's row in the database: until when other nodes wait for it, and its recorded `applied`.
    row_lease_until: u8,
    row_applied: u8,
    /// The node's memory: the last change in the index, and until when it may verify from memory.
    applied: u8,
    lease_until: u8,
    /// An extension of the lease that is in progress.
    extension: Option<Extension>,
    /// A read of the changes that is not applied yet: the revision, and until when a lease then holds if the read
    /// completes an extension.
    read: Option<(u8, Option<u8>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Extension {
    Requested { at: u8 },
    Granted { requested_at: u8, at: u8 },
}

/// A change that revokes a right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Change {
    /// Whether the node that verifies committed it.
    is_own: bool,
    committed_at: u8,
    /// Whether the node that committed it has applied it, or has ended its own lease.
    is_settled: bool,
    is_acknowledged: bool,
}

/// One verification. `acknowledged` is the last change that was acknowledged before it began; `seen` is the last change
/// that it saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Verification {
    Begun { acknowledged: u8 },
    LeaseChecked { acknowledged: u8 },
    LookedUp { acknowledged: u8, seen: u8 },
    Done { acknowledged: u8, seen: u8 },
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
    RequestLease,
    GrantLease,
    LoseConnection,
    ReadChanges,
    ApplyChanges,
    RecordApplied,
    CrashDatabase,
    CommitChange { is_own: bool },
    SettleChange(usize),
    AcknowledgeChange(usize),
    BeginVerification,
    ContinueVerification,
}

impl World {
    fn revision(&self) -> u8 {
        u8::try_from(self.changes.len()).unwrap_or(u8::MAX)
    }

    /// The number of the last acknowledged change. Each change revokes a different right, so the highest number counts.
    fn acknowledged(&self) -> u8 {
        let last = self.changes.iter().rposition(|change| change.is_acknowledged);
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
            Event::RequestLease,
            Event::GrantLease,
            Event::LoseConnection,
            Event::ReadChanges,
            Event::ApplyChanges,
            Event::RecordApplied,
            Event::CrashDatabase,
            Event::BeginVerification,
            Event::ContinueVerification,
        ]);
        events.extend([true, false].map(|is_own| Event::CommitChange { is_own }));
        for change in 0..world.changes.len() {
            events.extend([Event::SettleChange(change), Event::AcknowledgeChange(change)]);
        }
    }

    fn next_state(&self, before: &World, event: Event) -> Option<World> {
        let mut world = before.clone();
        let (now, revision, acknowledged) = (world.now, world.revision(), world.acknowledged());
        let node = &mut world.node;
        match event {
            Event::Tick if now < self.ticks => world.now += 1,
            Event::RequestLease if node.extension.is_none() => {
                node.extension = Some(Extension::Requested { at: now });
            }
            Event::GrantLease => {
                let Some(Extension::Requested { at: requested_at }) = node.extension else { return None };
                node.extension = Some(Extension::Granted { requested_at, at: now });
                node.row_lease_until = now + LEASE_DURATION;
                if self.protocol == Protocol::LeaseUsedBeforeRead {
                    node.lease_until = requested_at + LEASE_DURATION;
                    node.extension = None;
                }
            }
            Event::LoseConnection => (node.extension, node.read) = (None, None),
            // After a notification, or as the last step of an extension. Only one read at a time.
            Event::ReadChanges if node.read.is_none() => {
                let lease_until = match node.extension {
                    Some(Extension::Granted { requested_at, at }) => {
                        node.extension = None;
                        let start = if self.protocol == Protocol::LeaseCountsFromGrant {
                            at + 1
                        } else {
                            requested_at
                        };
                        Some(start + LEASE_DURATION)
                    }
                    _ => None,
                };
                node.read = Some((revision, lease_until));
            }
            Event::ApplyChanges => {
                let (read, lease_until) = node.read.take()?;
                node.applied = node.applied.max(read);
                node.lease_until = lease_until.unwrap_or(node.lease_until);
            }
            Event::RecordApplied => node.row_applied = node.applied,
            // `applied` is recorded without a flush to disk, so a crash may lose it. Leases are flushed.
            Event::CrashDatabase => node.row_applied = 0,
            Event::CommitChange { is_own } if revision < self.changes => world.changes.push(Change {
                is_own,
                committed_at: now,
                is_settled: !is_own || self.protocol == Protocol::LeaseKeptWithoutOwnChange,
                is_acknowledged: false,
            }),
            Event::SettleChange(change) => {
                // Only one task applies changes at a time: a pending read must be applied first.
                let is_settled = &mut world.changes.get_mut(change)?.is_settled;
                if *is_settled || node.read.is_some() {
                    return None;
                }
                if usize::from(node.applied) <= change {
                    node.lease_until = 0;
                }
                *is_settled = true;
            }
            Event::AcknowledgeChange(change) => {
                let number = change + 1;
                let change = world.changes.get_mut(change)?;
                let is_behind = usize::from(node.row_applied) < number && node.row_lease_until > now;
                let is_waiting = !change.is_own && is_behind && now < change.committed_at + LEASE_DURATION;
                let must_wait = is_waiting && self.protocol != Protocol::ChangeDoesNotWait;
                if change.is_acknowledged || !change.is_settled || must_wait {
                    return None;
                }
                change.is_acknowledged = true;
            }
            Event::BeginVerification if world.verification.is_none() => {
                world.verification = Some(Verification::Begun { acknowledged });
            }
            Event::ContinueVerification => {
                world.verification = Some(match world.verification? {
                    Verification::Begun { acknowledged }
                        if self.protocol == Protocol::LookupBeforeLeaseCheck =>
                    {
                        Verification::LookedUp { acknowledged, seen: node.applied }
                    }
                    Verification::Begun { acknowledged } | Verification::LookedUp { acknowledged, .. }
                        if now >= node.lease_until =>
                    {
                        // Without a lease, the node queries the database.
                        Verification::Done { acknowledged, seen: revision }
                    }
                    Verification::Begun { acknowledged } => Verification::LeaseChecked { acknowledged },
                    Verification::LookedUp { acknowledged, seen, .. } => {
                        Verification::Done { acknowledged, seen }
                    }
                    Verification::LeaseChecked { acknowledged } => {
                        Verification::Done { acknowledged, seen: node.applied }
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
            Property::always(NO_STALE_VERIFICATION, |_, world: &World| {
                let verification = world.verification;
                !matches!(verification, Some(Verification::Done { acknowledged, seen }) if seen < acknowledged)
            }),
            Property::sometimes("a verification is decided from memory", |_, world: &World| {
                matches!(world.verification, Some(Verification::LeaseChecked { .. }))
            }),
            Property::sometimes("a change is acknowledged before leases expire", |_, world: &World| {
                world
                    .changes
                    .iter()
                    .any(|change| change.is_acknowledged && world.now < change.committed_at + LEASE_DURATION)
                    && world.node.lease_until > world.now
            }),
            Property::sometimes(
                "a verification does not see a change that was acknowledged after it began",
                |_, world: &World| {
                    let acknowledged = world.acknowledged();
                    matches!(world.verification, Some(Verification::Done { seen, .. }) if seen < acknowledged)
                },
            ),
        ]
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[test]
fn no_order_of_events_leads_to_a_stale_verification() {
    // With two changes there are ten million states.
    let (ticks, changes) = if std::env::var_os("TORTURE").is_some() { (4, 2) } else { (5, 1) };
    let checked = Leases { protocol: Protocol::Complete, ticks, changes }
        .checker()
        .threads(threads())
        .spawn_bfs()
        .join();
    checked.assert_properties();
    assert!(checked.unique_state_count() > 500_000, "too few states: {}", checked.unique_state_count());
}

#[test]
fn if_the_protocol_lacks_a_rule_the_model_finds_a_stale_verification() {
    for protocol in [
        Protocol::ChangeDoesNotWait,
        Protocol::LeaseUsedBeforeRead,
        Protocol::LeaseCountsFromGrant,
        Protocol::LookupBeforeLeaseCheck,
        Protocol::LeaseKeptWithoutOwnChange,
    ] {
        let checked = Leases { protocol, ticks: 4, changes: 1 }
            .checker()
            .threads(threads())
            .finish_when(HasDiscoveries::AnyFailures)
            .spawn_bfs()
            .join();
        let found = checked.discovery(NO_STALE_VERIFICATION);
        assert!(found.is_some(), "no violation found with {protocol:?}");
    }
}
