//! Tells owners who watch what happens to their keys while it happens, also on other nodes: those are told which keys are
//! watched here, and publish what happens to them, at most once a second each.

use crate::ids::Id;
use app::domain::account::AccountId;
use app::domain::timestamp::{SECOND, Timestamp};
use app::domain::usage::{ClientName, DenialReason};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Events that may wait for a watcher; one that is slower misses some.
const WAITING: usize = 32;
/// Watchers at once.
const MOST: usize = 1_000;
/// Watchers of one account at once.
const WATCHERS_PER_ACCOUNT: usize = 20;
/// How often one watcher is told of the same kind of event of the same key, in milliseconds.
const REPORT_INTERVAL: i64 = SECOND;
/// How long another node is told of a key, unless it says again that it is watched.
const WATCHED_FOR: Duration = Duration::from_secs(40);
/// Keys that are watched on other nodes at once.
const REMOTE_KEYS_LIMIT: usize = 20_000;

/// Something that happened to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Which.
    pub key: Id,
    /// When.
    pub at: Timestamp,
    /// Who did it.
    pub program: ClientName,
    /// What.
    pub what: EventKind,
}

/// What may happen to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// It was let in with its secret.
    Used,
    /// It was let in with the secret whose place that has taken.
    PreviousUsed,
    /// It was refused.
    Denied(DenialReason),
}

/// What nodes publish each other of keys that are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NodeMessage {
    /// These are watched on the node that says so.
    Watched(Vec<Id>),
    /// Something happened to one that is watched elsewhere.
    Happened(Event),
}

struct Watcher {
    number: usize,
    to: Sender<Event>,
    told: Told,
}

/// Who watches which keys.
#[derive(Default)]
pub struct LiveEvents {
    /// How many watch anything: with nobody watching, nothing more is asked.
    watching: AtomicUsize,
    numbers: AtomicUsize,
    accounts: Mutex<HashMap<AccountId, usize>>,
    by_key: Mutex<HashMap<Id, Vec<Watcher>>>,
    /// Which keys are watched on other nodes.
    on_other_nodes: Mutex<HashMap<Id, RemoteWatch>>,
    /// How many those are.
    remote_watchers: AtomicUsize,
    /// Where other nodes are told, if there are any.
    others: OnceLock<Sender<NodeMessage>>,
}

impl std::fmt::Debug for LiveEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveEvents").field("watching", &self.watching()).finish_non_exhaustive()
    }
}

/// A key that is watched on another node.
struct RemoteWatch {
    until: Instant,
    told: Told,
}

/// When a watcher was last told of each kind of event.
struct Told {
    used: Timestamp,
    old_used: Timestamp,
    refused: Timestamp,
}

impl Told {
    const NEVER: Self = {
        let never = Timestamp(i64::MIN);
        Self { used: never, old_used: never, refused: never }
    };

    /// Whether it is time to publish again.
    fn is_due(&mut self, at: Timestamp, what: EventKind) -> bool {
        let told = match what {
            EventKind::Used => &mut self.used,
            EventKind::PreviousUsed => &mut self.old_used,
            EventKind::Denied(_) => &mut self.refused,
        };
        let is_due = at.0.saturating_sub(told.0) >= REPORT_INTERVAL;
        if is_due {
            *told = at;
        }
        is_due
    }
}

impl LiveEvents {
    /// Watches some keys of an account until the watch is dropped. `None` if too many watch already.
    pub fn watch(self: &Arc<Self>, account: &AccountId, keys: Vec<Id>) -> Option<Watch> {
        let mut accounts = self.accounts.lock();
        if self.watching() >= MOST
            || accounts.get(account).is_some_and(|watching| *watching >= WATCHERS_PER_ACCOUNT)
        {
            return None;
        }
        *accounts.entry(account.clone()).or_default() += 1;
        self.watching.fetch_add(1, Ordering::SeqCst);
        drop(accounts);
        let (to, events) = channel(WAITING);
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let mut by_key = self.by_key.lock();
        for key in &keys {
            let watcher = Watcher { number, to: to.clone(), told: Told::NEVER };
            by_key.entry(*key).or_default().push(watcher);
        }
        drop(by_key);
        let watch = Watch { events, live: Arc::clone(self), account: account.clone(), keys, number };
        watch.announce();
        Some(watch)
    }

    /// How many watch.
    #[must_use]
    pub fn watching(&self) -> usize {
        self.watching.load(Ordering::SeqCst)
    }

    /// Tells those who watch the key; nobody waits for them.
    pub(crate) fn publish(&self, key: Id, at: Timestamp, what: EventKind, program: impl Fn() -> ClientName) {
        if self.watching() > 0 {
            self.publish_here(key, at, what, &program);
        }
        if self.remote_watchers.load(Ordering::Relaxed) > 0
            && let Some(others) = self.others.get()
            && let Some(watched) = self.on_other_nodes.lock().get_mut(&key)
            && watched.until > Instant::now()
            && watched.told.is_due(at, what)
        {
            let _ = others.try_send(NodeMessage::Happened(Event { key, at, program: program(), what }));
        }
    }

    fn publish_here(&self, key: Id, at: Timestamp, what: EventKind, program: &impl Fn() -> ClientName) {
        let mut by_key = self.by_key.lock();
        for watcher in by_key.get_mut(&key).into_iter().flatten() {
            if watcher.told.is_due(at, what) {
                let _ = watcher.to.try_send(Event { key, at, program: program(), what });
            }
        }
    }

    /// Begins to publish other nodes; answers what they are to be told.
    pub(crate) fn connect_nodes(&self) -> Receiver<NodeMessage> {
        let (to, said) = channel(MOST);
        let _ = self.others.set(to);
        said
    }

    /// Forgets keys that nobody says any more are watched: with none, nothing more is asked of a verification.
    pub(crate) fn forget_remote(&self) {
        if self.remote_watchers.load(Ordering::Relaxed) > 0 {
            self.receive(NodeMessage::Watched(Vec::new()));
        }
    }

    /// Hears what another node says.
    pub(crate) fn receive(&self, said: NodeMessage) {
        match said {
            NodeMessage::Happened(Event { key, at, program, what }) => {
                self.publish_here(key, at, what, &|| program.clone());
            }
            NodeMessage::Watched(keys) => {
                let (now, mut on_other_nodes) = (Instant::now(), self.on_other_nodes.lock());
                on_other_nodes.retain(|_, watched| watched.until > now);
                for key in
                    keys.into_iter().take(REMOTE_KEYS_LIMIT - on_other_nodes.len().min(REMOTE_KEYS_LIMIT))
                {
                    let until = now + WATCHED_FOR;
                    on_other_nodes.entry(key).or_insert(RemoteWatch { until, told: Told::NEVER }).until =
                        until;
                }
                self.remote_watchers.store(on_other_nodes.len(), Ordering::Relaxed);
            }
        }
    }
}

/// The events of some keys.
pub struct Watch {
    events: Receiver<Event>,
    live: Arc<LiveEvents>,
    account: AccountId,
    keys: Vec<Id>,
    number: usize,
}

impl Watch {
    /// Tells other nodes that these keys are watched; to be said again every half a minute.
    pub fn announce(&self) {
        if let Some(others) = self.live.others.get() {
            let _ = others.try_send(NodeMessage::Watched(self.keys.clone()));
        }
    }

    /// The next event.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut accounts = self.live.accounts.lock();
        self.live.watching.fetch_sub(1, Ordering::SeqCst);
        if let Some(watching) = accounts.get_mut(&self.account) {
            *watching -= 1;
            if *watching == 0 {
                accounts.remove(&self.account);
            }
        }
        drop(accounts);
        let mut by_key = self.live.by_key.lock();
        for key in &self.keys {
            if let Some(watchers) = by_key.get_mut(key) {
                watchers.retain(|watcher| watcher.number != self.number);
                if watchers.is_empty() {
                    by_key.remove(key);
                }
            }
        }
    }
}
