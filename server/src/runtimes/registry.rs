//! The runtimes of this node, for the rest of the server.

use crate::clock::Clock;
use crate::ids::Id;
use crate::key_cache::cache::KeyCache;
use crate::key_cache::cluster::identity::NodeIdentity;
use crate::runtimes::connections::Connections;
use crate::runtimes::counters::RuntimeCounters;
use crate::runtimes::forwarding::Forwarded;
use crate::runtimes::requests::NewRequest;
use crate::runtimes::triggers::{self, Reserved, TriggerError, TriggerResponse};
use crate::runtimes::worker;
use crate::store::runtimes as rows;
use crate::store::{Store, StoreError, lock_account, spawn_transaction};
use crate::usage::live_events::LiveEvents;
use app::domain::account::AccountId;
use app::domain::mecha::MechaId;
use app::domain::runtime::{MechaRuntimes, RuntimeState};
use app::domain::timestamp::HOUR;
use app::error::ConsoleError;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Maximum number of connections as one Mecha on this node, before and after their hello. It is more than the limit of
/// runtimes, so that all can reconnect while their earlier connections close.
const CONNECTIONS_PER_MECHA: usize = 48;
/// Maximum number of connections that are registered at once. The changes of owners do not wait behind more of them.
const CONCURRENT_WRITES: usize = 4;
/// How long the ends of connections may take to be stored at shutdown.
const STORE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long commands are kept, in milliseconds.
const COMMAND_RETENTION: i64 = HOUR;

/// The limits of runtimes on this node.
#[derive(Clone, Copy, Debug)]
pub struct RuntimeLimits {
    /// Maximum number of connections.
    pub connections: u32,
    /// Maximum memory of requests in flight, in MiB.
    pub trigger_memory: u32,
}

/// The runtimes that are connected to this node. Clones share them. Dropping the last clone aborts the workers.
#[derive(Clone, Debug)]
pub struct Runtimes(pub(crate) Arc<Connections>, Arc<Mutex<JoinSet<()>>>);

impl Runtimes {
    /// Creates the registry of this node, and spawns its workers.
    #[must_use]
    pub fn new(
        store: Store,
        clock: Clock,
        key_cache: KeyCache,
        live: Arc<LiveEvents>,
        node: NodeIdentity,
        limits: RuntimeLimits,
    ) -> Self {
        let connections = Arc::new(Connections {
            store,
            clock,
            key_cache,
            live,
            node,
            counters: RuntimeCounters::default(),
            open: Mutex::default(),
            ended: Mutex::default(),
            writes: Semaphore::new(CONCURRENT_WRITES),
            has_updates: Notify::new(),
            sessions: TaskTracker::new(),
            permits: Arc::new(Semaphore::new(usize::try_from(limits.connections).unwrap_or(usize::MAX))),
            callers: Arc::default(),
            trigger_memory: triggers::trigger_memory(limits.trigger_memory),
            shutdown: CancellationToken::new(),
        });
        let workers = worker::spawn(&connections);
        Self(connections, Arc::new(Mutex::new(workers)))
    }

    /// A permit for one more connection as this Mecha; `None` at the limit of the server, or of the Mecha.
    pub(crate) fn permit(&self, mecha: &Id) -> Option<OwnedSemaphorePermit> {
        let is_full = self.0.open.lock().count_of(mecha) >= CONNECTIONS_PER_MECHA;
        if is_full { None } else { Arc::clone(&self.0.permits).try_acquire_owned().ok() }
    }

    /// The runtimes of the Mechas of an account, or of one of them, on all nodes.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn of_account(
        &self,
        account: &AccountId,
        mecha: Option<&MechaId>,
    ) -> Result<HashMap<MechaId, MechaRuntimes>, ConsoleError> {
        let nodes = self.0.store.live_nodes(&self.0.node.id, 0).await?;
        Ok(self.0.store.runtimes(account, mecha, &nodes, self.0.clock.now()).await?)
    }

    /// Notifies a node that there is a command for one of its runtimes.
    pub(crate) fn publish_command(&self, node: &str) {
        self.0.live.publish_command(node);
    }

    /// The number of connections of this node, before and after their hello.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.open.lock().by_id.len()
    }

    /// The number of runtimes on this node by state, for the metrics.
    pub(crate) fn states(&self) -> [(RuntimeState, usize); 4] {
        let open = self.0.open.lock();
        let count = |state| {
            open.by_id.values().filter(|connection| connection.registered_state() == Some(state)).count()
        };
        RuntimeState::ALL.map(|state| (state, count(state)))
    }

    /// Sends a request to the runtime with the fewest requests in flight of those that offer its action: of the Mecha with
    /// this id or name, or of any Mecha of the caller's account.
    ///
    /// # Errors
    /// No runtime gets the request.
    pub(crate) async fn trigger(
        &self,
        mecha: Option<&str>,
        request: NewRequest,
        reserved: Reserved,
    ) -> Result<TriggerResponse, TriggerError> {
        triggers::begin(&self.0, mecha, request, reserved).await
    }

    /// Reserves memory for a request with a body of this length; `None` if there is not enough.
    pub(crate) fn reserve(&self, body: usize) -> Option<Reserved> {
        Reserved::new(&self.0, body)
    }

    /// As [`Self::trigger`], for a request that another node has forwarded: only the runtimes of this node are considered.
    ///
    /// # Errors
    /// No runtime gets the request.
    pub(crate) async fn trigger_here(
        &self,
        forwarded: Forwarded,
        reserved: Reserved,
    ) -> Result<TriggerResponse, TriggerError> {
        let Forwarded { mecha, request } = forwarded;
        triggers::begin_here(&self.0, mecha.as_deref(), request, reserved).await
    }

    /// The number of triggers in flight on this node.
    #[must_use]
    pub fn triggers(&self) -> usize {
        self.0.callers.count()
    }

    pub(crate) fn counters(&self) -> &RuntimeCounters {
        &self.0.counters
    }

    /// Deletes connections that ended more than 30 days ago, except the last one of each Mecha, and old commands.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let now = self.0.clock.now();
        for (account, mecha) in self.0.store.mechas_with_old_history(now).await? {
            let store = self.0.store.clone();
            spawn_transaction(async move {
                let mut tx = store.begin().await?;
                lock_account(&mut tx, &account).await?;
                rows::trim_history(&mut tx, &mecha, Some(now)).await?;
                Ok::<_, StoreError>(tx.commit().await?)
            })
            .await?;
        }
        self.0.store.delete_commands(now.plus(-COMMAND_RETENTION)).await
    }

    /// Closes all connections with 1012, and stores that they have ended.
    pub async fn shut_down(&self) {
        self.0.shutdown.cancel();
        self.0.sessions.close();
        self.0.sessions.wait().await;
        // The workers end by themselves, so that none drops an update.
        let mut workers = std::mem::take(&mut *self.1.lock());
        while workers.join_next().await.is_some() {}
        if timeout(STORE_TIMEOUT, self.0.store_updates()).await.is_err() {
            tracing::warn!("the ends of runtimes could not be stored");
        }
    }
}
