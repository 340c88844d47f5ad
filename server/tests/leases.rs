//! Checks a model of the protocol in `docs/leases.md` in all orders of events: changes, leases, pauses, lost
//! notifications, lost connections and crashes of the database. The terms are those of that document.
//!
//! The model has one node that verifies, and that holds live connections. Changes are committed by this node,
//! or by another one. With more nodes, a change would only wait longer before it is acknowledged. Time is
//! counted in ticks. A step may happen at any time or never, which models a pause, a slow network and a lost
//! notification.

use stateright::{Checker, HasDiscoveries, Model, Property};

/// Duration of a lease, in ticks.
const LEASE_DURATION: u8 = 2;

/// The properties that the protocol guarantees.
const NO_STALE_VERIFICATION: &str = "a verification sees every change that was acknowledged before it began";
const NO_STALE_FRAME: &str =
    "a frame that takes effect saw every change that was acknowledged before its handling began";

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
    /// A frame takes effect because its connection was allowed when it was opened.
    ConnectionVerifiedOnlyAtOpen,
    /// A frame does not wait for a lease.
    FrameTakesEffectWithoutLease,
    /// A frame that waited too long for a lease takes effect. Its connection is not closed.
    FrameTakesEffectAfterTimeout,
    /// A frame that waited for a lease takes effect according to the entry from before the wait.
    EntryNotCheckedAgainAfterWait,
}

/// The protocol without one of the rules for verifications and frames.
const WITHOUT_A_RULE: [Protocol; 5] = [
    Protocol::ChangeDoesNotWait,
    Protocol::LeaseUsedBeforeRead,
    Protocol::LeaseCountsFromGrant,
    Protocol::LookupBeforeLeaseCheck,
    Protocol::LeaseKeptWithoutOwnChange,
];

/// The protocol without one of the rules for frames only.
const WITHOUT_A_RULE_FOR_FRAMES: [Protocol; 4] = [
    Protocol::ConnectionVerifiedOnlyAtOpen,
    Protocol::FrameTakesEffectWithoutLease,
    Protocol::FrameTakesEffectAfterTimeout,
    Protocol::EntryNotCheckedAgainAfterWait,
];

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

/// The handling of one frame. Its connection was opened before the first change, and the verification that
/// opened it saw none. `acknowledged` is the last change that was acknowledged before the handling began.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Frame {
    acknowledged: u8,
    has_waited: bool,
    step: FrameStep,
}

/// `seen` is the last change that the lookup of the entry saw. A frame whose secret one of these changes
/// revoked has no effect, so `TookEffect` concerns only other frames. A frame that waits for a lease looks up
/// the entry afterwards: its `seen` is `None`, unless the protocol lacks this rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum FrameStep {
    Begun,
    Waiting { seen: Option<u8> },
    LeaseChecked,
    LookedUp { seen: u8 },
    TookEffect { seen: u8 },
}

/// What the node decides: the outcome of a verification, or whether a frame takes effect. One at a time is
/// enough, because a decision reads nothing that another one writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Decision {
    Verification(Verification),
    Frame(Frame),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct World {
    now: u8,
    node: Node,
    changes: Vec<Change>,
    decision: Option<Decision>,
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
    BeginFrame,
    ContinueDecision,
    CloseConnection,
}

impl Node {
    fn holds_lease(&self, now: u8) -> bool {
        now < self.lease_until
    }
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

    fn verification(&self) -> Option<Verification> {
        match self.decision {
            Some(Decision::Verification(verification)) => Some(verification),
            _ => None,
        }
    }

    /// The frame that took effect, and the last change that it saw.
    fn effect(&self) -> Option<(Frame, u8)> {
        match self.decision {
            Some(Decision::Frame(frame @ Frame { step: FrameStep::TookEffect { seen }, .. })) => {
                Some((frame, seen))
            }
            _ => None,
        }
    }

    fn is_decided(&self) -> bool {
        matches!(self.verification(), Some(Verification::Done { .. })) || self.effect().is_some()
    }
}

impl Leases {
    /// The next step of a verification.
    fn continue_verification(&self, world: &World, verification: Verification) -> Option<Verification> {
        let node = &world.node;
        Some(match verification {
            Verification::Begun { acknowledged } if self.protocol == Protocol::LookupBeforeLeaseCheck => {
                Verification::LookedUp { acknowledged, seen: node.applied }
            }
            Verification::Begun { acknowledged } | Verification::LookedUp { acknowledged, .. }
                if !node.holds_lease(world.now) =>
            {
                // Without a lease, the node queries the database.
                Verification::Done { acknowledged, seen: world.revision() }
            }
            Verification::Begun { acknowledged } => Verification::LeaseChecked { acknowledged },
            Verification::LookedUp { acknowledged, seen, .. } => Verification::Done { acknowledged, seen },
            Verification::LeaseChecked { acknowledged } => {
                Verification::Done { acknowledged, seen: node.applied }
            }
            Verification::Done { .. } => return None,
        })
    }

    /// The next step of a frame. Without a lease, it waits, and does not query the database.
    fn continue_frame(&self, world: &World, frame: Frame) -> Option<Frame> {
        let (protocol, seen) = (self.protocol, world.node.applied);
        let holds_lease = world.node.holds_lease(world.now);
        let step = match frame.step {
            FrameStep::Begun if protocol == Protocol::ConnectionVerifiedOnlyAtOpen => {
                FrameStep::LookedUp { seen: 0 }
            }
            FrameStep::Begun | FrameStep::Waiting { .. } if protocol == Protocol::LookupBeforeLeaseCheck => {
                FrameStep::LookedUp { seen }
            }
            FrameStep::LookedUp { .. } if protocol == Protocol::LookupBeforeLeaseCheck && !holds_lease => {
                FrameStep::Waiting { seen: None }
            }
            FrameStep::Begun if holds_lease || protocol == Protocol::FrameTakesEffectWithoutLease => {
                FrameStep::LeaseChecked
            }
            FrameStep::Begun => {
                let is_looked_up = protocol == Protocol::EntryNotCheckedAgainAfterWait;
                FrameStep::Waiting { seen: is_looked_up.then_some(seen) }
            }
            FrameStep::Waiting { .. } if !holds_lease => match protocol {
                Protocol::FrameTakesEffectAfterTimeout => FrameStep::LookedUp { seen },
                _ => return None,
            },
            FrameStep::Waiting { seen: Some(seen) } => FrameStep::LookedUp { seen },
            FrameStep::Waiting { seen: None } => FrameStep::LeaseChecked,
            FrameStep::LeaseChecked => FrameStep::LookedUp { seen },
            FrameStep::LookedUp { seen } => FrameStep::TookEffect { seen },
            FrameStep::TookEffect { .. } => return None,
        };
        let has_waited = frame.has_waited || matches!(step, FrameStep::Waiting { .. });
        Some(Frame { has_waited, step, ..frame })
    }
}

impl Model for Leases {
    type State = World;
    type Action = Event;

    fn init_states(&self) -> Vec<World> {
        vec![World::default()]
    }

    fn actions(&self, world: &World, events: &mut Vec<Event>) {
        // Later events cannot change a decision.
        if world.is_decided() {
            return;
        }
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
            Event::BeginFrame,
            Event::ContinueDecision,
            Event::CloseConnection,
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
            Event::BeginVerification if world.decision.is_none() => {
                world.decision = Some(Decision::Verification(Verification::Begun { acknowledged }));
            }
            Event::BeginFrame if world.decision.is_none() => {
                let frame = Frame { acknowledged, has_waited: false, step: FrameStep::Begun };
                world.decision = Some(Decision::Frame(frame));
            }
            Event::ContinueDecision => {
                world.decision = Some(match world.decision? {
                    Decision::Verification(verification) => {
                        Decision::Verification(self.continue_verification(before, verification)?)
                    }
                    Decision::Frame(frame) => Decision::Frame(self.continue_frame(before, frame)?),
                });
            }
            // At any time, for any reason. The frame has no effect. A frame of another connection may follow.
            Event::CloseConnection => {
                world.decision = world.decision.filter(|decision| !matches!(decision, Decision::Frame(_)));
            }
            _ => return None,
        }
        // A lease that has expired is the same as none. This reduces the number of states.
        for lease_until in [&mut world.node.lease_until, &mut world.node.row_lease_until] {
            if *lease_until <= world.now {
                *lease_until = 0;
            }
        }
        (world != *before).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(NO_STALE_VERIFICATION, |_, world: &World| {
                let verification = world.verification();
                !matches!(verification, Some(Verification::Done { acknowledged, seen }) if seen < acknowledged)
            }),
            Property::always(NO_STALE_FRAME, |_, world: &World| {
                world.effect().is_none_or(|(frame, seen)| seen >= frame.acknowledged)
            }),
            Property::sometimes("a verification is decided from memory", |_, world: &World| {
                matches!(world.verification(), Some(Verification::LeaseChecked { .. }))
            }),
            Property::sometimes("a frame takes effect", |_, world: &World| world.effect().is_some()),
            Property::sometimes("a frame that waited for a lease takes effect", |_, world: &World| {
                world.effect().is_some_and(|(frame, _)| frame.has_waited)
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
                    let (verification, acknowledged) = (world.verification(), world.acknowledged());
                    matches!(verification, Some(Verification::Done { seen, .. }) if seen < acknowledged)
                },
            ),
            Property::sometimes(
                "a frame takes effect despite a change that was acknowledged after its handling began",
                |_, world: &World| world.effect().is_some_and(|(_, seen)| seen < world.acknowledged()),
            ),
        ]
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

#[test]
fn no_order_of_events_leads_to_a_stale_verification_or_frame() {
    // With two changes there are 13 million states.
    let (ticks, changes) = if std::env::var_os("TORTURE").is_some() { (4, 2) } else { (5, 1) };
    let checked = Leases { protocol: Protocol::Complete, ticks, changes }
        .checker()
        .threads(threads())
        .spawn_bfs()
        .join();
    checked.assert_properties();
    assert!(checked.unique_state_count() > 500_000, "too few states: {}", checked.unique_state_count());
}

/// Fails unless the model finds a violation of the property with each of these protocols.
fn assert_violated(property: &'static str, protocols: impl IntoIterator<Item = Protocol>) {
    for protocol in protocols {
        let checked = Leases { protocol, ticks: 4, changes: 1 }
            .checker()
            .threads(threads())
            .finish_when(HasDiscoveries::AnyOf([property].into()))
            .spawn_bfs()
            .join();
        assert!(checked.discovery(property).is_some(), "no violation found with {protocol:?}");
    }
}

#[test]
fn if_the_protocol_lacks_a_rule_the_model_finds_a_stale_verification() {
    assert_violated(NO_STALE_VERIFICATION, WITHOUT_A_RULE);
}

#[test]
fn if_the_protocol_lacks_a_rule_the_model_finds_a_stale_frame() {
    assert_violated(NO_STALE_FRAME, WITHOUT_A_RULE.into_iter().chain(WITHOUT_A_RULE_FOR_FRAMES));
}
