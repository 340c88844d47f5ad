//! Publishes events of keys and runtimes to watchers as they happen. A watcher is a page that the owner of the keys has open. Each
//! node announces to the other nodes which keys are watched on it. The other nodes send it the events of these keys, at
//! most one per second for each key and kind of event.

use crate::ids::{Id, hex};
use app::domain::account::AccountId;
use app::domain::timestamp::{SECOND, Timestamp};
use app::domain::usage::{ClientName, DenialReason};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Events that are queued for one watcher. Further events are dropped until it receives some.
const EVENTS_CAPACITY: usize = 32;
/// Maximum number of concurrent watchers. Also the capacity of the queue of messages to other nodes.
const WATCHERS_LIMIT: usize = 1_000;
/// Maximum number of concurrent watchers of one account.
const WATCHERS_PER_ACCOUNT: usize = 20;
/// Minimum interval between events of the same key and kind for one watcher, in milliseconds.
const PUBLISH_INTERVAL: i64 = SECOND;
/// How long an announcement of another node is valid, unless the node repeats it.
const REMOTE_WATCH_TIMEOUT: Duration = Duration::from_secs(40);
/// Maximum number of keys that are watched on other nodes.
const REMOTE_KEYS_LIMIT: usize = 20_000;

/// An event of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The key.
    pub key: Id,
    /// When it happened.
    pub at: Timestamp,
    /// The client that sent the request.
    pub client: ClientName,
    /// The kind of event.
    pub what: EventKind,
}

/// What a watcher receives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LiveEvent {
    /// A request with a watched key.
    Request(Event),
    /// A key, a Mecha or a runtime of the account was created, changed or deleted, on this node or another.
    Changed,
}

/// The kind of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The key was allowed with its current secret.
    Used,
    /// The key was allowed with its previous secret.
    PreviousUsed,
    /// The key was denied.
    Denied(DenialReason),
}

/// A message about watched keys from one node to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NodeMessage {
    /// These keys are watched on the sender.
    Watched(Vec<Id>),
    /// An event of a key that is watched on another node.
    Event(Event),
    /// A runtime of this account connected, changed its state or disconnected.
    RuntimesChanged(Id),
    /// There is a command for a runtime of the node with this id.
    RuntimeCommand(String),
}

struct Watcher {
    id: usize,
    sender: Sender<LiveEvent>,
    published: LastPublished,
}

/// A watcher of an account, for changes of its keys.
struct AccountWatcher {
    id: usize,
    sender: Sender<LiveEvent>,
}

/// The watchers of keys, on this node and on other nodes.
#[derive(Default)]
pub struct LiveEvents {
    /// The number of watchers on this node. While it is zero, `publish` does not take the lock of `by_key`.
    watcher_count: AtomicUsize,
    next_watcher_id: AtomicUsize,
    by_account: Mutex<HashMap<AccountId, Vec<AccountWatcher>>>,
    by_key: Mutex<HashMap<Id, Vec<Watcher>>>,
    /// The keys that are watched on other nodes.
    remote: Mutex<HashMap<Id, RemoteWatch>>,
    /// The number of keys in `remote`. While it is zero, `publish` does not take its lock.
    remote_count: AtomicUsize,
    /// The queue of messages to other nodes; not set if there are no other nodes.
    node_messages: OnceLock<Sender<NodeMessage>>,
    /// Notified when the key cache has applied a change, so that runtimes whose key has ended are disconnected.
    pub(crate) keys_changed: Notify,
    /// Notified when there is a command for a runtime of this node.
    pub(crate) runtime_command: Notify,
}

impl std::fmt::Debug for LiveEvents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LiveEvents").field("watching", &self.watcher_count()).finish_non_exhaustive()
    }
}

/// A key that is watched on another node.
struct RemoteWatch {
    expires_at: Instant,
    published: LastPublished,
}

/// When each kind of event was last published to one watcher.
struct LastPublished {
    used: Timestamp,
    previous_used: Timestamp,
    denied: Timestamp,
}

impl LastPublished {
    const NEVER: Self = {
        let never = Timestamp(i64::MIN);
        Self { used: never, previous_used: never, denied: never }
    };

    /// Returns true if the event is to be published, and then records its time.
    fn is_due(&mut self, at: Timestamp, what: EventKind) -> bool {
        let last = match what {
            EventKind::Used => &mut self.used,
            EventKind::PreviousUsed => &mut self.previous_used,
            EventKind::Denied(_) => &mut self.denied,
        };
        let is_due = at.0.saturating_sub(last.0) >= PUBLISH_INTERVAL;
        if is_due {
            *last = at;
        }
        is_due
    }
}

impl LiveEvents {
    /// Watches an account and some of its keys until the returned watch is dropped. Returns `None` if a limit of watchers
    /// is reached.
    pub fn watch(self: &Arc<Self>, account: &AccountId, keys: Vec<Id>) -> Option<Watch> {
        let (sender, events) = channel(EVENTS_CAPACITY);
        let id = self.next_watcher_id.fetch_add(1, Ordering::Relaxed);
        let mut by_account = self.by_account.lock();
        if self.watcher_count() >= WATCHERS_LIMIT
            || by_account.get(account).is_some_and(|watchers| watchers.len() >= WATCHERS_PER_ACCOUNT)
        {
            return None;
        }
        by_account.entry(account.clone()).or_default().push(AccountWatcher { id, sender: sender.clone() });
        self.watcher_count.fetch_add(1, Ordering::SeqCst);
        drop(by_account);
        let mut watch =
            Watch { events, sender, live: Arc::clone(self), account: account.clone(), keys: Vec::new(), id };
        watch.set_keys(keys);
        Some(watch)
    }

    /// The number of watchers on this node.
    #[must_use]
    pub fn watcher_count(&self) -> usize {
        self.watcher_count.load(Ordering::SeqCst)
    }

    /// Publishes an event to the watchers of the key, on this node and on other nodes. It does not block: if a queue is
    /// full, the event is dropped for that recipient.
    pub(crate) fn publish(&self, key: Id, at: Timestamp, what: EventKind, client: impl Fn() -> ClientName) {
        if self.watcher_count() > 0 {
            self.publish_locally(key, at, what, &client);
        }
        if self.remote_count.load(Ordering::Relaxed) > 0
            && let Some(watch) = self.remote.lock().get_mut(&key)
            && watch.expires_at > Instant::now()
            && watch.published.is_due(at, what)
        {
            self.notify_nodes(NodeMessage::Event(Event { key, at, client: client(), what }));
        }
    }

    /// Notifies the watchers of an account on this node, and the runtimes, that keys of the account have changed.
    pub(crate) fn publish_change(&self, account: Id) {
        self.keys_changed.notify_one();
        self.notify_watchers(account);
    }

    /// Notifies the watchers of an account on all nodes that its runtimes have changed.
    pub(crate) fn publish_runtimes(&self, account: Id) {
        self.notify_watchers(account);
        self.notify_nodes(NodeMessage::RuntimesChanged(account));
    }

    /// Notifies a node that there is a command for one of its runtimes. The node also reads them every second.
    pub(crate) fn publish_command(&self, node: &str) {
        self.runtime_command.notify_one();
        self.notify_nodes(NodeMessage::RuntimeCommand(node.to_owned()));
    }

    fn notify_nodes(&self, message: NodeMessage) {
        if let Some(node_messages) = self.node_messages.get() {
            let _ = node_messages.try_send(message);
        }
    }

    fn notify_watchers(&self, account: Id) {
        if self.watcher_count() == 0 {
            return;
        }
        let by_account = self.by_account.lock();
        for watcher in by_account.get(&AccountId(hex(&account))).into_iter().flatten() {
            // If the queue is full, the list is sent in any case.
            let _ = watcher.sender.try_send(LiveEvent::Changed);
        }
    }

    fn publish_locally(&self, key: Id, at: Timestamp, what: EventKind, client: &impl Fn() -> ClientName) {
        let mut by_key = self.by_key.lock();
        for watcher in by_key.get_mut(&key).into_iter().flatten() {
            if watcher.published.is_due(at, what) {
                let event = Event { key, at, client: client(), what };
                let _ = watcher.sender.try_send(LiveEvent::Request(event));
            }
        }
    }

    /// Creates the queue of messages to other nodes, and returns its receiver.
    pub(crate) fn node_messages(&self) -> Receiver<NodeMessage> {
        let (sender, messages) = channel(WATCHERS_LIMIT);
        let _ = self.node_messages.set(sender);
        messages
    }

    /// Removes the keys whose announcements have expired.
    pub(crate) fn remove_expired_remote_watches(&self) {
        if self.remote_count.load(Ordering::Relaxed) > 0 {
            self.receive(NodeMessage::Watched(Vec::new()));
        }
    }

    /// Processes a message from another node.
    pub(crate) fn receive(&self, message: NodeMessage) {
        match message {
            NodeMessage::Event(Event { key, at, client, what }) => {
                self.publish_locally(key, at, what, &|| client.clone());
            }
            NodeMessage::RuntimesChanged(account) => self.notify_watchers(account),
            NodeMessage::RuntimeCommand(_) => self.runtime_command.notify_one(),
            NodeMessage::Watched(keys) => {
                let (now, mut remote) = (Instant::now(), self.remote.lock());
                remote.retain(|_, watch| watch.expires_at > now);
                for key in keys.into_iter().take(REMOTE_KEYS_LIMIT - remote.len().min(REMOTE_KEYS_LIMIT)) {
                    let expires_at = now + REMOTE_WATCH_TIMEOUT;
                    let new = RemoteWatch { expires_at, published: LastPublished::NEVER };
                    remote.entry(key).or_insert(new).expires_at = expires_at;
                }
                self.remote_count.store(remote.len(), Ordering::Relaxed);
            }
        }
    }
}

/// Receives the events of an account and of some of its keys. Dropping it ends the watch.
pub struct Watch {
    events: Receiver<LiveEvent>,
    sender: Sender<LiveEvent>,
    live: Arc<LiveEvents>,
    account: AccountId,
    keys: Vec<Id>,
    id: usize,
}

impl Watch {
    /// Announces to other nodes that these keys are watched. Repeat it at least every 30 s: an announcement expires
    /// after 40 s.
    pub fn announce(&self) {
        self.live.notify_nodes(NodeMessage::Watched(self.keys.clone()));
    }

    /// Watches these keys instead of the previous ones, such as after a key was created.
    pub fn set_keys(&mut self, keys: Vec<Id>) {
        if keys == self.keys {
            return;
        }
        let mut by_key = self.live.by_key.lock();
        for key in self.keys.iter().filter(|key| !keys.contains(key)) {
            unwatch(&mut by_key, key, self.id);
        }
        for key in keys.iter().filter(|key| !self.keys.contains(key)) {
            let (id, sender) = (self.id, self.sender.clone());
            by_key.entry(*key).or_default().push(Watcher { id, sender, published: LastPublished::NEVER });
        }
        drop(by_key);
        self.keys = keys;
        self.announce();
    }

    /// Waits for the next event.
    pub async fn next(&mut self) -> Option<LiveEvent> {
        self.events.recv().await
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut by_account = self.live.by_account.lock();
        self.live.watcher_count.fetch_sub(1, Ordering::SeqCst);
        if let Some(watchers) = by_account.get_mut(&self.account) {
            watchers.retain(|watcher| watcher.id != self.id);
            if watchers.is_empty() {
                by_account.remove(&self.account);
            }
        }
        drop(by_account);
        let mut by_key = self.live.by_key.lock();
        self.keys.iter().for_each(|key| unwatch(&mut by_key, key, self.id));
    }
}

fn unwatch(by_key: &mut HashMap<Id, Vec<Watcher>>, key: &Id, watcher: usize) {
    if let Some(watchers) = by_key.get_mut(key) {
        watchers.retain(|other| other.id != watcher);
        if watchers.is_empty() {
            by_key.remove(key);
        }
    }
}
