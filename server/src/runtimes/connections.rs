//! The connections of this node.

use crate::clock::Clock;
use crate::ids::{Id, hex};
use crate::key_cache::cache::{KeyCache, NoLease};
use crate::key_cache::cluster::identity::NodeIdentity;
use crate::key_cache::cluster::lease::Moment;
use crate::key_cache::scopes::has_scope;
use crate::key_entry::KeyEntry;
use crate::runtimes::callers::{Caller, Callers, Credential};
use crate::runtimes::counters::RuntimeCounters;
use crate::runtimes::frames::{End, Notice};
use crate::runtimes::requests::Requests;
use crate::secret::SecretDigest;
use crate::store::Store;
use crate::store::runtimes::RuntimeUpdate;
use crate::usage::live_events::LiveEvents;
use app::domain::access::TRIGGER;
use app::domain::runtime::{EndReason, RuntimeState};
use app::domain::timestamp::{DAY, Timestamp};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::mpsc::Sender;
use tokio::sync::{Notify, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A runtime is notified that its key expires this long before, in milliseconds.
const EXPIRY_NOTICE: i64 = DAY;
/// Minimum interval between stored states of one runtime.
const STORE_INTERVAL: Duration = Duration::from_secs(5);

/// The connections of this node, and what they need.
#[derive(Debug)]
pub(crate) struct Connections {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) key_cache: KeyCache,
    pub(crate) live: Arc<LiveEvents>,
    /// This node.
    pub(crate) node: NodeIdentity,
    pub(crate) counters: RuntimeCounters,
    /// Those that are open, from their upgrade on.
    pub(crate) open: Mutex<Open>,
    /// Limits concurrent registrations.
    pub(crate) writes: Semaphore,
    /// The callers of requests in flight.
    pub(crate) callers: Arc<Callers>,
    /// Limits the memory of requests in flight.
    pub(crate) trigger_memory: Arc<Semaphore>,
    /// Updates of connections that have ended, until they are stored.
    pub(crate) ended: Mutex<Vec<RuntimeUpdate>>,
    /// Notified when there is an update to store.
    pub(crate) has_updates: Notify,
    /// The tasks that serve connections.
    pub(crate) sessions: TaskTracker,
    /// Limits the number of connections.
    pub(crate) permits: Arc<Semaphore>,
    /// Cancelled when connections start to close.
    pub(crate) shutdown: CancellationToken,
}

/// The connections that are open.
#[derive(Debug, Default)]
pub(crate) struct Open {
    pub(crate) by_id: HashMap<Id, Arc<Connection>>,
    /// The number of connections of each Mecha.
    by_mecha: HashMap<Id, usize>,
    /// The ids of the connections of each account.
    by_account: HashMap<Id, Vec<Id>>,
}

impl Open {
    /// The number of connections as a Mecha.
    pub(crate) fn count_of(&self, mecha: &Id) -> usize {
        self.by_mecha.get(mecha).copied().unwrap_or_default()
    }

    /// The connections of the Mechas of an account.
    pub(crate) fn of_account(&self, account: &Id) -> impl Iterator<Item = &Arc<Connection>> {
        self.by_account.get(account).into_iter().flatten().filter_map(|id| self.by_id.get(id))
    }

    fn insert(&mut self, connection: Arc<Connection>) {
        self.by_account.entry(connection.account).or_default().push(connection.id);
        *self.by_mecha.entry(connection.mecha).or_default() += 1;
        self.by_id.insert(connection.id, connection);
    }

    fn remove(&mut self, connection: &Connection) {
        self.by_id.remove(&connection.id);
        if let Some(ids) = self.by_account.get_mut(&connection.account) {
            ids.retain(|id| *id != connection.id);
            if ids.is_empty() {
                self.by_account.remove(&connection.account);
            }
        }
        if let Some(count) = self.by_mecha.get_mut(&connection.mecha) {
            *count -= 1;
            if *count == 0 {
                self.by_mecha.remove(&connection.mecha);
            }
        }
    }
}

/// Something that a connection is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Instruction {
    /// Measure the round trip.
    Test,
    /// Ask the runtime to finish its work, and disconnect it after 30 s.
    Drain,
    /// Another connection of the instance has replaced this one: finish its requests, and disconnect it after 30 s.
    Replace,
    /// Notify the runtime that its secret stops being valid.
    Notify(Notice, Timestamp),
}

/// One connection. Its task serves it; the workers look at it.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: Id,
    pub(crate) account: Id,
    pub(crate) mecha: Id,
    pub(crate) key: Id,
    pub(crate) secret: SecretDigest,
    pub(crate) instructions: Sender<Instruction>,
    /// The requests to the runtime that are in flight.
    pub(crate) requests: Arc<Requests>,
    /// The actions that the runtime offers, from its hello on.
    pub(crate) actions: OnceLock<Vec<String>>,
    end: OnceLock<(End, Moment)>,
    ended: CancellationToken,
    presence: Mutex<Presence>,
}

/// What pages show of a connection.
#[derive(Debug, Default)]
struct Presence {
    /// Whether the runtime was welcomed, so that it is stored.
    is_registered: bool,
    state: RuntimeState,
    note: String,
    round_trip: Option<u32>,
    /// Whether the round trip was measured since it was last stored.
    is_tested: bool,
    /// Whether something has changed since it was last stored.
    is_changed: bool,
    stored_at: Option<Moment>,
    /// The last notice that was sent, and the time that it stated.
    notice: Option<(Notice, Timestamp)>,
}

/// Whether a response may be returned to its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallerStanding {
    /// It may.
    Valid,
    /// This node holds no lease, so the response waits.
    Unknown,
    /// It may not, and ends.
    Ended,
}

/// Whether frames of a connection may take effect.
#[derive(Debug)]
pub(crate) enum Standing {
    /// They may.
    Valid(KeyEntry),
    /// This node holds no lease, so frames wait.
    Unknown,
    /// They may not, and the connection ends.
    Ended(End),
}

impl Connections {
    /// Whether frames of a connection may take effect: the lease first, then the entry of its secret. Call it when the
    /// handling of a frame begins, and apply the effect afterwards.
    pub(crate) fn standing(&self, connection: &Connection) -> Standing {
        match connection.end.get() {
            Some((end, _)) => Standing::Ended(*end),
            None => self.standing_of(&connection.secret, connection.key, Some(connection.mecha)),
        }
    }

    /// Whether a secret is still that of a key of this Mecha, or of the account itself, and may be used.
    pub(crate) fn standing_of(&self, secret: &SecretDigest, key: Id, mecha: Option<Id>) -> Standing {
        let entry = match self.key_cache.find(secret.as_bytes()) {
            Ok(entry) => entry,
            Err(NoLease) => return Standing::Unknown,
        };
        let is_same =
            |entry: &KeyEntry| entry.key == key && entry.mecha.as_ref().map(|mecha| mecha.id) == mecha;
        let Some(entry) = entry.filter(is_same) else { return Standing::Ended(End::KEY_ENDED) };
        if entry.until.is_some_and(|until| until <= self.clock.now()) {
            Standing::Ended(End::KEY_ENDED)
        } else if !entry.active || entry.mecha.as_ref().is_some_and(|mecha| !mecha.active) {
            Standing::Ended(End::SWITCHED_OFF)
        } else {
            Standing::Valid(entry)
        }
    }

    /// Whether a response may be returned to its caller: the key must be valid, belong to the account and have the scope
    /// `trigger`. The session of an owner is in the database, and is verified by the endpoint.
    pub(crate) fn standing_of_caller(&self, caller: &Caller) -> CallerStanding {
        let has_scope = |entry: &KeyEntry| has_scope(entry.scopes.as_deref(), TRIGGER);
        let Credential::Key { id, secret } = &caller.credential else { return CallerStanding::Valid };
        match self.standing_of(secret, *id, None) {
            Standing::Valid(entry) if entry.account == caller.account && has_scope(&entry) => {
                CallerStanding::Valid
            }
            Standing::Valid(_) | Standing::Ended(_) => CallerStanding::Ended,
            Standing::Unknown => CallerStanding::Unknown,
        }
    }

    /// Adds a connection. From now on it is disconnected when its key ends.
    pub(crate) fn add(&self, connection: Arc<Connection>) {
        self.open.lock().insert(connection);
    }

    /// Removes a connection that has ended, and queues that it has ended if it was registered.
    pub(crate) fn remove(&self, connection: &Connection, reason: EndReason) {
        self.open.lock().remove(connection);
        self.counters.disconnected(reason);
        if let Some(update) = connection.final_update(self.clock.now(), reason) {
            self.ended.lock().push(update);
            self.has_updates.notify_one();
        }
    }

    /// The connection with this id, if this node holds it.
    pub(crate) fn connection(&self, id: &Id) -> Option<Arc<Connection>> {
        self.open.lock().by_id.get(id).cloned()
    }

    /// Records a measured round trip. The owner waits for it, so it is stored at once.
    pub(crate) fn set_round_trip(&self, connection: &Connection, round_trip: Duration) {
        let mut presence = connection.presence.lock();
        presence.round_trip = Some(u32::try_from(round_trip.as_millis()).unwrap_or(u32::MAX));
        (presence.is_changed, presence.is_tested, presence.stored_at) = (true, true, None);
        drop(presence);
        self.has_updates.notify_one();
    }
}

impl Connection {
    /// A connection that presented this secret, before its hello.
    pub(crate) fn new(
        id: Id,
        [account, mecha, key]: [Id; 3],
        secret: SecretDigest,
        instructions: Sender<Instruction>,
    ) -> Self {
        let (end, ended) = (OnceLock::new(), CancellationToken::new());
        let presence = Mutex::default();
        let (requests, actions) = (Arc::default(), OnceLock::new());
        Self { id, account, mecha, key, secret, instructions, requests, actions, end, ended, presence }
    }

    /// Ends the connection. Its frames have no effect from now on. The first end counts.
    pub(crate) fn end(&self, end: End) {
        let _ = self.end.set((end, Moment::now()));
        self.ended.cancel();
    }

    /// Waits until the connection is to end.
    pub(crate) async fn wait_for_end(&self) -> End {
        self.ended.cancelled().await;
        self.end.get().map_or(End::LOST, |(end, _)| *end)
    }

    /// The time since the end was decided.
    pub(crate) fn time_since_end(&self) -> Duration {
        self.end.get().map_or(Duration::ZERO, |(_, at)| Moment::now().since(*at))
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.end.get().is_some()
    }

    /// Changes the state that pages show. It is stored within a few seconds.
    pub(crate) fn set_state(&self, state: RuntimeState) {
        let mut presence = self.presence.lock();
        presence.is_changed |= presence.state != state;
        presence.state = state;
    }

    /// Changes the note that pages show. It is stored within a few seconds.
    pub(crate) fn set_note(&self, note: String) {
        let mut presence = self.presence.lock();
        presence.is_changed |= presence.note != note;
        presence.note = note;
    }

    /// Whether the runtime was registered, so that it is recorded as open.
    pub(crate) fn is_registered(&self) -> bool {
        self.presence.lock().is_registered
    }

    /// Whether the runtime accepts requests: it is idle or busy.
    pub(crate) fn accepts_requests(&self) -> bool {
        let state = self.registered_state();
        matches!(state, Some(RuntimeState::Idle | RuntimeState::Busy)) && !self.has_ended()
    }

    /// Marks the runtime as stored.
    pub(crate) fn set_registered(&self) {
        let mut presence = self.presence.lock();
        (presence.is_registered, presence.stored_at) = (true, Some(Moment::now()));
    }

    pub(crate) fn registered_state(&self) -> Option<RuntimeState> {
        let presence = self.presence.lock();
        presence.is_registered.then_some(presence.state)
    }

    /// The notice that is due, and that was not sent yet: the key was rotated, or expires within a day.
    pub(crate) fn due_notice(&self, entry: &KeyEntry, now: Timestamp) -> Option<(Notice, Timestamp)> {
        let until = entry.until?;
        let notice = if entry.is_previous {
            Notice::Rotated
        } else if until.0 - now.0 <= EXPIRY_NOTICE {
            Notice::Expiring
        } else {
            return None;
        };
        let presence = self.presence.lock();
        let is_due = presence.is_registered && presence.notice != Some((notice, until));
        is_due.then_some((notice, until))
    }

    /// Queues a notice for the runtime. If the queue is full, the notice stays due.
    pub(crate) fn send_notice(&self, notice: Notice, at: Timestamp) {
        if self.instructions.try_send(Instruction::Notify(notice, at)).is_ok() {
            self.presence.lock().notice = Some((notice, at));
        }
    }

    /// The state to store, if it has changed and the last one was stored long enough ago.
    pub(crate) fn due_update(&self, now: Moment) -> Option<RuntimeUpdate> {
        let mut presence = self.presence.lock();
        let is_due = presence.stored_at.is_none_or(|at| now.since(at) >= STORE_INTERVAL);
        if !presence.is_registered || !presence.is_changed || !is_due {
            return None;
        }
        let update = self.update(&presence, None);
        (presence.is_changed, presence.is_tested, presence.stored_at) = (false, false, Some(now));
        Some(update)
    }

    /// Stores the state again, because that failed.
    pub(crate) fn restore_update(&self, failed: &RuntimeUpdate) {
        let mut presence = self.presence.lock();
        presence.is_changed = true;
        presence.is_tested |= failed.is_tested;
    }

    fn final_update(&self, now: Timestamp, reason: EndReason) -> Option<RuntimeUpdate> {
        let presence = self.presence.lock();
        presence.is_registered.then(|| self.update(&presence, Some((now, reason))))
    }

    fn update(&self, presence: &Presence, ended: Option<(Timestamp, EndReason)>) -> RuntimeUpdate {
        RuntimeUpdate {
            id: self.id,
            account: self.account,
            state: presence.state,
            note: presence.note.clone(),
            round_trip: presence.round_trip,
            is_tested: presence.is_tested,
            ended,
        }
    }
}

/// A short description for logs.
impl std::fmt::Display for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&hex(&self.id))
    }
}
