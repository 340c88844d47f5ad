//! One of many nodes on one database: it verifies from memory while it holds a lease, and keeps memory up to date.
//!
//! The protocol, its assumptions and why it is enough: `docs/leases.md`; a model of it, checked in all orders of
//! events: `tests/leases.rs`.

use crate::key_cache::cluster::lease::{Lease, Moment};
use crate::key_cache::cluster::notifications;
use crate::key_cache::index::KeyIndex;
use crate::store::cluster::{self, CHANGED, FollowedChange, LIVE, NodeConnection, channel_of};
use crate::store::{Store, StoreError};
use crate::usage::live_events::LiveEvents;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How long a lease lasts: the longest that a node which is gone keeps a change from being answered.
pub const LEASE: Duration = Duration::from_millis(1_500);
/// How often it is extended.
const EXTENSION_INTERVAL: Duration = Duration::from_millis(400);
/// What the clocks of two machines may differ by in the time of a lease: 2 %.
const DRIFT: Duration = Duration::from_millis(30);
/// How long to wait before something is tried again that failed.
const RETRY_DELAY: Duration = Duration::from_millis(200);
/// How often a change that waits for other nodes looks whether they have followed, if nobody tells it.
const POLL_INTERVAL: Duration = Duration::from_millis(25);
/// How long nothing may be told before it is asked whether the connection is still there.
const IDLE_CHECK_AFTER: Duration = Duration::from_secs(5);
/// How often what is gone is forgotten, in extensions of the lease.
const TIDY_INTERVAL: u32 = 150;

/// This process among others. Copies are the same.
#[derive(Clone, Debug)]
pub(crate) struct Node(Arc<Inner>, Arc<parking_lot::Mutex<JoinSet<()>>>);

#[derive(Debug)]
struct Inner {
    /// Of this process, and of no other ever.
    id: String,
    store: Store,
    index: Arc<KeyIndex>,
    lease: Arc<Lease>,
    live: Arc<LiveEvents>,
    follower: Mutex<Follower>,
    leases: Mutex<NodeConnection>,
    /// Somebody has followed a change of this node.
    followed: Notify,
}

/// What keeps memory up to date; one at a time.
#[derive(Debug)]
struct Follower {
    line: NodeConnection,
    /// The number of the last change that is in memory.
    applied: i64,
    /// When it was last read what was committed, if all of that is in memory.
    read_at: Option<Moment>,
}

impl Node {
    /// Takes all secrets into memory, and begins to follow how they change.
    pub(crate) async fn join(
        id: String,
        store: Store,
        index: Arc<KeyIndex>,
        lease: Arc<Lease>,
        live: Arc<LiveEvents>,
    ) -> Result<Self, StoreError> {
        let node = Arc::new(Inner {
            id,
            index,
            lease,
            live,
            follower: Mutex::new(Follower {
                line: NodeConnection::of_changes(store.clone()),
                applied: 0,
                read_at: None,
            }),
            leases: Mutex::new(NodeConnection::of_leases(store.clone())),
            followed: Notify::new(),
            store,
        });
        node.read_all(&mut *node.follower.lock().await).await?;
        node.extend().await?;
        let (listener, extender) = (Arc::clone(&node), Arc::clone(&node));
        let mut said = node.live.connect_nodes();
        let (id, mut line) = (node.id.clone(), NodeConnection::of_changes(node.store.clone()));
        // They end with the last copy of the node.
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Some(said) = said.recv().await {
                for text in notifications::written(&id, &said) {
                    if let Err(error) = line.notify_live(&text).await {
                        tracing::warn!(%error, "other nodes are not told which keys are watched");
                    }
                }
            }
        });
        tasks.spawn(async move {
            loop {
                listener.listen().await;
            }
        });
        tasks.spawn(async move {
            let (mut round, mut next) = (0_u32, Moment::now().plus(EXTENSION_INTERVAL));
            loop {
                sleep(next.left()).await;
                next = Moment::now().plus(EXTENSION_INTERVAL);
                if !extender.extend_or_log().await {
                    next = Moment::now().plus(RETRY_DELAY);
                }
                extender.live.forget_remote();
                round = round.wrapping_add(1);
                if round.is_multiple_of(TIDY_INTERVAL) {
                    extender.tidy_up().await;
                }
            }
        });
        Ok(Self(node, Arc::new(parking_lot::Mutex::new(tasks))))
    }

    /// The name by which others know this node.
    pub(crate) fn id(&self) -> &str {
        &self.0.id
    }

    /// Waits until everything that was committed is met by whoever asks any node.
    ///
    /// It is so once every node has it in memory that may answer from memory; and in any case once every lease has run out
    /// that was granted before, because none is used afterwards before it is in memory.
    pub(crate) async fn wait_for_nodes(&self) {
        let began = Moment::now();
        let by_then = began.plus(LEASE + DRIFT);
        let applied = loop {
            match timeout(by_then.left(), self.0.follow_or_end_lease(began)).await {
                Ok(Some(applied)) => break applied,
                Ok(None) if !by_then.left().is_zero() => sleep(POLL_INTERVAL.min(by_then.left())).await,
                // By now this node's own lease has run out, too.
                Ok(None) | Err(_) => return,
            }
        };
        while !by_then.left().is_zero() {
            let told = self.0.followed.notified();
            let behind = self.0.store.nodes_behind(applied, &self.0.id);
            match timeout(by_then.left(), behind).await {
                Ok(Ok(0)) => return,
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "it is not known which nodes have followed a change")
                }
                Err(_) => return,
            }
            tokio::select! {
                () = told => {}
                () = sleep(POLL_INTERVAL.min(by_then.left())) => {}
            }
        }
    }

    /// Verifies no more from memory, and keeps nobody waiting.
    pub(crate) async fn shut_down(&self) {
        self.1.lock().abort_all();
        // Whoever is following may be about to use an extension.
        let _no_more = timeout(LEASE, self.0.follower.lock()).await;
        self.0.lease.end();
        if let Err(error) = self.0.leases.lock().await.end_lease(&self.0.id).await {
            tracing::warn!(%error, "other nodes will wait until this one's lease has run out");
        }
    }
}

impl Inner {
    async fn extend_or_log(&self) -> bool {
        let extended = self.extend().await;
        if let Err(error) = &extended {
            tracing::warn!(%error, "the lease was not extended");
        }
        extended.is_ok()
    }

    /// Extends the lease by one that begins when it is asked for.
    async fn extend(&self) -> Result<(), StoreError> {
        let asked = Moment::now();
        let applied = self.follower.lock().await.applied;
        self.leases.lock().await.extend_lease(&self.id, applied, LEASE).await?;
        // Only now that it is committed: whoever commits a change from here on sees the lease, and waits for this node;
        // what was committed before is seen here.
        let mut follower = self.follower.lock().await;
        self.follow(&mut follower).await?;
        self.lease.extend(asked.plus(LEASE.saturating_sub(DRIFT)));
        Ok(())
    }

    async fn tidy_up(&self) {
        if let Err(error) = self.leases.lock().await.tidy_up().await {
            tracing::warn!(%error, "what nodes told each other long ago was not forgotten");
        }
    }

    /// Follows changes as they are told, until the connection fails.
    async fn listen(&self) {
        let listened = async {
            let mut listener = self.store.listen(&self.id).await?;
            // What was told while nobody listened is not told again.
            let mut is_told = true;
            loop {
                if is_told {
                    self.follow(&mut *self.follower.lock().await).await?;
                }
                is_told = false;
                let Ok(told) = timeout(IDLE_CHECK_AFTER, listener.try_recv()).await else {
                    // It may be that nothing happened, or that nothing comes through any more.
                    cluster::check(&mut listener).await?;
                    continue;
                };
                match told? {
                    // The connection was lost, and is there again.
                    None => is_told = true,
                    Some(told) if told.channel() == CHANGED => is_told = true,
                    Some(told) if told.channel() == LIVE => {
                        if let Some(said) = notifications::read(&self.id, told.payload()) {
                            self.live.receive(said);
                        }
                    }
                    Some(_) => self.followed.notify_waiters(),
                }
            }
        };
        let Err::<(), StoreError>(error) = listened.await else { return };
        tracing::warn!(%error, "changes of keys are not told to this node");
        sleep(RETRY_DELAY).await;
    }

    /// Takes what was committed by some moment into memory, and answers the number of the last change; or else verifies
    /// from memory no more.
    async fn follow_or_end_lease(&self, by: Moment) -> Option<i64> {
        let mut follower = self.follower.lock().await;
        // Of many that wait, one asks for all.
        if follower.read_at.is_some_and(|at| at >= by) {
            return Some(follower.applied);
        }
        if let Err(error) = self.follow(&mut follower).await {
            tracing::warn!(%error, "a change is not in memory yet");
            self.lease.end();
            return None;
        }
        Some(follower.applied)
    }

    /// Takes all committed changes into memory, in their order.
    async fn follow(&self, follower: &mut Follower) -> Result<(), StoreError> {
        let mut waiting = Vec::new();
        follower.read_at = None;
        let read_at = loop {
            let asked = Moment::now();
            let (revision, changes) = follower.line.changes_after(follower.applied).await?;
            let mut has_gap = changes.is_empty() && follower.applied != revision;
            for FollowedChange { number, node, gone, secrets } in changes {
                has_gap = number != follower.applied + 1;
                if has_gap {
                    break;
                }
                gone.iter().for_each(|digest| self.index.remove(digest));
                secrets.iter().for_each(|(digest, entry)| self.index.put(digest, entry));
                follower.applied = number;
                if node != self.id {
                    waiting.push(channel_of(&node));
                }
            }
            if has_gap {
                self.lease.end();
                self.read_all(follower).await?;
            } else if follower.applied == revision {
                break asked;
            }
        };
        if !waiting.is_empty() {
            waiting.sort_unstable();
            waiting.dedup();
            follower.line.notify_applied(&self.id, follower.applied, &waiting).await?;
        }
        follower.read_at = Some(read_at);
        Ok(())
    }

    /// Takes everything into memory anew. The lease must have ended.
    async fn read_all(&self, follower: &mut Follower) -> Result<(), StoreError> {
        // What is committed while it is read has a higher number, and is followed once more.
        let revision = follower.line.revision().await?;
        // Until it is done, nothing is known.
        follower.applied = -1;
        self.index.clear();
        self.store.read_key_entries(&|digest, entry| self.index.put(digest, entry)).await?;
        follower.applied = revision;
        Ok(())
    }
}
