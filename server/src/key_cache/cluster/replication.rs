//! One node of a cluster that shares a database. While the node holds a lease, it verifies from memory. It applies the
//! committed changes of all nodes to its index.
//!
//! `docs/leases.md` describes the protocol, its assumptions and why it is correct. `tests/leases.rs` checks a model of
//! it in all orders of events.

use crate::key_cache::cluster::identity::NodeIdentity;
use crate::key_cache::cluster::lease::{Lease, Moment};
use crate::key_cache::cluster::notifications;
use crate::key_cache::index::KeyIndex;
use crate::store::cluster::{self, CHANGED, CommittedChange, LIVE, NodeConnection, NodeRow, channel_of};
use crate::store::{Store, StoreError};
use crate::usage::live_events::LiveEvents;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Duration of a lease. A crashed node delays the acknowledgement of a change by at most this long, plus 30 ms of clock
/// drift.
pub const LEASE_DURATION: Duration = Duration::from_millis(1_500);
/// Interval between extensions of the lease.
const EXTENSION_INTERVAL: Duration = Duration::from_millis(400);
/// By how much the clocks of two machines may diverge during a lease: 2 %.
const CLOCK_DRIFT: Duration = Duration::from_millis(30);
/// Delay before a failed operation is tried again.
const RETRY_DELAY: Duration = Duration::from_millis(200);
/// Interval at which a change that waits for other nodes polls their progress, if no notification arrives.
const POLL_INTERVAL: Duration = Duration::from_millis(25);
/// How long the listening connection may be silent before the node checks that it still works.
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);
/// Extensions of the lease between deletions of outdated rows.
const CLEANUP_INTERVAL: u32 = 150;

/// This process as a node of the cluster. Clones share state.
#[derive(Clone, Debug)]
pub(crate) struct Node(Arc<Inner>, Arc<parking_lot::Mutex<JoinSet<()>>>);

#[derive(Debug)]
struct Inner {
    identity: NodeIdentity,
    store: Store,
    index: Arc<KeyIndex>,
    lease: Arc<Lease>,
    live: Arc<LiveEvents>,
    /// The lock ensures that only one task applies changes at a time.
    follower: Mutex<Follower>,
    lease_connection: Mutex<NodeConnection>,
    /// Notified when another node has applied a change of this node.
    applied_by_other: Notify,
}

/// Applies committed changes to the index.
#[derive(Debug)]
struct Follower {
    connection: NodeConnection,
    /// The number of the last change in the index; -1 during a reload.
    applied: i64,
    /// When the last read of the committed changes began, if the index contains all of them.
    read_at: Option<Moment>,
}

impl Node {
    /// Loads all secrets into the index, and spawns the tasks that extend the lease and apply changes.
    ///
    /// # Errors
    /// The database does not respond, or a row cannot be decoded.
    pub(crate) async fn join(
        identity: NodeIdentity,
        store: Store,
        index: Arc<KeyIndex>,
        lease: Arc<Lease>,
        live: Arc<LiveEvents>,
    ) -> Result<Self, StoreError> {
        let node = Arc::new(Inner {
            identity,
            index,
            lease,
            live,
            follower: Mutex::new(Follower {
                connection: NodeConnection::of_changes(store.clone()),
                applied: 0,
                read_at: None,
            }),
            lease_connection: Mutex::new(NodeConnection::of_leases(store.clone())),
            applied_by_other: Notify::new(),
            store,
        });
        node.reload(&mut *node.follower.lock().await).await?;
        node.extend_lease().await?;
        let (listener, extender) = (Arc::clone(&node), Arc::clone(&node));
        let mut messages = node.live.node_messages();
        let (id, mut connection) = (node.identity.id.clone(), NodeConnection::of_changes(node.store.clone()));
        // Dropping the last clone of the node aborts these tasks.
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            while let Some(message) = messages.recv().await {
                for payload in notifications::written(&id, &message) {
                    if let Err(error) = connection.notify_live(&payload).await {
                        tracing::warn!(%error, "cannot send a message about watched keys to other nodes");
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
                if !extender.extend_lease_or_log().await {
                    next = Moment::now().plus(RETRY_DELAY);
                }
                extender.live.remove_expired_remote_watches();
                round = round.wrapping_add(1);
                if round.is_multiple_of(CLEANUP_INTERVAL) {
                    extender.clean_up().await;
                }
            }
        });
        Ok(Self(node, Arc::new(parking_lot::Mutex::new(tasks))))
    }

    /// The id of this node in the cluster.
    pub(crate) fn id(&self) -> &str {
        &self.0.identity.id
    }

    /// Waits until every node has applied all committed changes.
    ///
    /// The wait ends once every node with a lease has applied them. It also ends after `LEASE + CLOCK_DRIFT`: by then
    /// every lease that was granted before has expired, and a node uses a later lease only after it has applied the
    /// changes.
    pub(crate) async fn wait_for_nodes(&self) {
        let started = Moment::now();
        let deadline = started.plus(LEASE_DURATION + CLOCK_DRIFT);
        let applied = loop {
            match timeout(deadline.left(), self.0.apply_changes_or_end_lease(started)).await {
                Ok(Some(applied)) => break applied,
                Ok(None) if !deadline.left().is_zero() => sleep(POLL_INTERVAL.min(deadline.left())).await,
                // By the deadline, the lease of this node has expired too.
                Ok(None) | Err(_) => return,
            }
        };
        while !deadline.left().is_zero() {
            let notified = self.0.applied_by_other.notified();
            let behind = self.0.store.nodes_behind(applied, &self.0.identity.id);
            match timeout(deadline.left(), behind).await {
                Ok(Ok(0)) => return,
                Ok(Ok(_)) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "cannot read which nodes have applied a change");
                }
                Err(_) => return,
            }
            tokio::select! {
                () = notified => {}
                () = sleep(POLL_INTERVAL.min(deadline.left())) => {}
            }
        }
    }

    /// Stops verifying from memory, and deletes the lease so that no node waits for this one.
    pub(crate) async fn shut_down(&self) {
        self.1.lock().abort_all();
        // Wait for a task that is applying changes: it may be about to extend the lease.
        let _follower_guard = timeout(LEASE_DURATION, self.0.follower.lock()).await;
        self.0.lease.end();
        if let Err(error) = self.0.lease_connection.lock().await.end_lease(&self.0.identity.id).await {
            tracing::warn!(%error, "cannot delete the lease: other nodes wait until it expires");
        }
    }
}

impl Inner {
    async fn extend_lease_or_log(&self) -> bool {
        let extended = self.extend_lease().await;
        if let Err(error) = &extended {
            tracing::warn!(%error, "cannot extend the lease");
        }
        extended.is_ok()
    }

    /// Extends the lease. Its duration counts from the request, not from the response.
    async fn extend_lease(&self) -> Result<(), StoreError> {
        let requested_at = Moment::now();
        let applied = self.follower.lock().await.applied;
        let NodeIdentity { id, url, .. } = &self.identity;
        let row = NodeRow { id, url, secret_hash: self.identity.secret_hash() };
        self.lease_connection.lock().await.extend_lease(&row, applied, LEASE_DURATION).await?;
        // Read changes only after the lease is committed. A node that commits a change after that sees the lease, and
        // waits for this node. Changes that were committed before are read here.
        let mut follower = self.follower.lock().await;
        self.apply_changes(&mut follower).await?;
        self.lease.extend(requested_at.plus(LEASE_DURATION.saturating_sub(CLOCK_DRIFT)));
        Ok(())
    }

    async fn clean_up(&self) {
        if let Err(error) = self.lease_connection.lock().await.delete_expired_rows().await {
            tracing::warn!(%error, "cannot delete outdated nodes and changes from the database");
        }
    }

    /// Applies changes as notifications arrive, until the connection fails.
    async fn listen(&self) {
        let listening = async {
            let mut listener = self.store.listen(&self.identity.id).await?;
            // Notifications that were sent before this connection listened are lost.
            let mut must_apply = true;
            loop {
                if must_apply {
                    self.apply_changes(&mut *self.follower.lock().await).await?;
                }
                must_apply = false;
                let Ok(received) = timeout(IDLE_TIMEOUT, listener.try_recv()).await else {
                    // Either there were no notifications, or the connection is broken.
                    cluster::check(&mut listener).await?;
                    continue;
                };
                match received? {
                    // The connection was lost, and has been re-established.
                    None => must_apply = true,
                    Some(notification) if notification.channel() == CHANGED => must_apply = true,
                    Some(notification) if notification.channel() == LIVE => {
                        if let Some(message) = notifications::read(&self.identity.id, notification.payload())
                        {
                            self.live.receive(message);
                        }
                    }
                    Some(_) => self.applied_by_other.notify_waiters(),
                }
            }
        };
        let Err::<(), StoreError>(error) = listening.await else { return };
        tracing::warn!(%error, "cannot receive notifications of changes; retrying");
        sleep(RETRY_DELAY).await;
    }

    /// Applies at least the changes that were committed before `committed_by`, and returns the number of the last
    /// change. If that fails, ends the lease and returns `None`.
    async fn apply_changes_or_end_lease(&self, committed_by: Moment) -> Option<i64> {
        let mut follower = self.follower.lock().await;
        // Of several concurrent callers, one reads the changes for all.
        if follower.read_at.is_some_and(|read_at| read_at >= committed_by) {
            return Some(follower.applied);
        }
        if let Err(error) = self.apply_changes(&mut follower).await {
            tracing::warn!(%error, "cannot apply committed changes: the lease ends");
            self.lease.end();
            return None;
        }
        Some(follower.applied)
    }

    /// Applies all committed changes to the index, in commit order.
    async fn apply_changes(&self, follower: &mut Follower) -> Result<(), StoreError> {
        let mut waiting_channels = Vec::new();
        let mut changed_accounts = HashSet::new();
        follower.read_at = None;
        let read_at = loop {
            let started = Moment::now();
            let (revision, changes) = follower.connection.changes_after(follower.applied).await?;
            let mut has_gap = changes.is_empty() && follower.applied != revision;
            for CommittedChange { number, node, account, gone, secrets } in changes {
                has_gap = number != follower.applied + 1;
                if has_gap {
                    break;
                }
                changed_accounts.extend(gone.iter().filter_map(|digest| self.index.remove(digest)));
                for (digest, entry) in &secrets {
                    self.index.put(digest, entry);
                }
                changed_accounts.extend(account);
                follower.applied = number;
                if node != self.identity.id {
                    waiting_channels.push(channel_of(&node));
                }
            }
            if has_gap {
                self.lease.end();
                self.reload(follower).await?;
            } else if follower.applied == revision {
                break started;
            }
        };
        if !waiting_channels.is_empty() {
            waiting_channels.sort_unstable();
            waiting_channels.dedup();
            follower
                .connection
                .notify_applied(&self.identity.id, follower.applied, &waiting_channels)
                .await?;
        }
        changed_accounts.into_iter().for_each(|account| self.live.publish_change(account));
        follower.read_at = Some(read_at);
        Ok(())
    }

    /// Clears the index and loads all secrets again. The lease must have ended.
    async fn reload(&self, follower: &mut Follower) -> Result<(), StoreError> {
        // A change that is committed during the reload has a higher number, and is applied again afterwards.
        let revision = follower.connection.revision().await?;
        // If the reload fails, the next call finds a gap and reloads again.
        follower.applied = -1;
        self.index.clear();
        self.store.read_key_entries(&|digest, entry| self.index.put(digest, entry)).await?;
        follower.applied = revision;
        Ok(())
    }
}
