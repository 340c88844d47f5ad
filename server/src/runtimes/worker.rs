//! The background tasks of the runtimes of a node.

use crate::ids::{Id, hex, parse_id};
use crate::key_cache::cluster::lease::Moment;
use crate::runtimes::connections::{CallerStanding, Connections, Instruction, Standing};
use crate::runtimes::frames::End;
use crate::store::runtimes::{self as rows, PendingCommand, RuntimeUpdate};
use crate::store::{StoreError, spawn_transaction};
use app::domain::account::AccountId;
use app::domain::runtime::{EndReason, RuntimeCommand};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Interval at which all connections are verified, besides after each change of keys.
const VERIFICATION_INTERVAL: Duration = Duration::from_millis(250);
/// Pause after a verification of all connections, as a multiple of its duration. It leaves the processors to other work.
const PAUSE_FACTOR: u32 = 10;
/// Limit of that pause, so that a runtime whose key has ended is disconnected within a second.
const MAX_PAUSE: Duration = Duration::from_millis(100);
/// How long connections stay open while the node holds no lease.
pub(crate) const LEASE_WAIT: Duration = Duration::from_secs(10);
/// Interval at which a frame or a response that waits for a lease checks for it.
pub(crate) const LEASE_POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Interval at which commands are read, and changed states are stored.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How long a node must have been without a lease until other nodes record that its connections were lost. Longer than
/// [`LEASE_WAIT`], after which the node itself closes them.
pub(crate) const LOST_AFTER_SECONDS: u8 = 15;

/// Spawns the tasks.
pub(super) fn spawn(connections: &Arc<Connections>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    let [verifier, writer, executor] = std::array::from_fn(|_| Arc::clone(connections));
    tasks.spawn(async move {
        let mut lease_held_at = Moment::now();
        loop {
            let changed = timeout(VERIFICATION_INTERVAL, verifier.live.keys_changed.notified());
            if verifier.or_shutdown(changed).await.is_none() {
                return;
            }
            let started = Moment::now();
            verifier.verify_connections(&mut lease_held_at);
            sleep((Moment::now().since(started) * PAUSE_FACTOR).min(MAX_PAUSE)).await;
        }
    });
    tasks.spawn(async move {
        loop {
            writer.store_updates().await;
            let updates = timeout(POLL_INTERVAL, writer.has_updates.notified());
            if writer.or_shutdown(updates).await.is_none() {
                return;
            }
        }
    });
    tasks.spawn(async move {
        let mut unmatched = HashSet::new();
        loop {
            let reconciled = async {
                executor.execute_commands().await?;
                executor.reconcile(&mut unmatched).await?;
                executor.end_runtimes_of_dead_nodes().await
            };
            if let Err(error) = reconciled.await {
                tracing::warn!(%error, "the recorded runtimes cannot be compared with the connections; retrying");
            }
            let command = timeout(POLL_INTERVAL, executor.live.runtime_command.notified());
            if executor.or_shutdown(command).await.is_none() {
                return;
            }
        }
    });
    tasks
}

impl Connections {
    /// Waits; `None` if the shutdown begins first.
    async fn or_shutdown<T>(&self, wait: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = wait => Some(done),
            () = self.shutdown.cancelled() => None,
        }
    }

    /// Disconnects the runtimes whose key has ended, and notifies those whose secret will. Without a lease for
    /// [`LEASE_WAIT`], disconnects all.
    fn verify_connections(&self, lease_held_at: &mut Moment) {
        let started = Moment::now();
        // Other nodes may have recorded the connections as lost, also if this node was suspended and holds a lease again.
        let is_unverified = self.store.is_shared() && started.since(*lease_held_at) >= LEASE_WAIT;
        if self.key_cache.lease.holds() {
            *lease_held_at = started;
        }
        let connections: Vec<_> = self.open.lock().by_id.values().cloned().collect();
        let now = self.clock.now();
        for connection in connections.iter().filter(|connection| !connection.has_ended()) {
            match self.standing(connection) {
                Standing::Ended(end) => connection.end(end),
                _ if is_unverified => connection.end(End::UNVERIFIED),
                Standing::Unknown => {}
                Standing::Valid(entry) => {
                    if let Some((notice, at)) = connection.due_notice(&entry, now) {
                        connection.send_notice(notice, at);
                    }
                }
            }
        }
        self.callers
            .end_if(|caller| is_unverified || self.standing_of_caller(caller) == CallerStanding::Ended);
    }

    /// Stores changed states, at most every 5 s for each runtime, and the ends of connections. Keeps what cannot be stored
    /// for the next call.
    pub(crate) async fn store_updates(&self) {
        let mut by_account: HashMap<_, Vec<RuntimeUpdate>> = HashMap::new();
        let now = Moment::now();
        let changed: Vec<RuntimeUpdate> =
            self.open.lock().by_id.values().filter_map(|connection| connection.due_update(now)).collect();
        for update in changed.into_iter().chain(std::mem::take(&mut *self.ended.lock())) {
            by_account.entry(update.account).or_default().push(update);
        }
        let mut is_available = true;
        for (account, updates) in by_account {
            if is_available {
                match self.store_of_account(AccountId(hex(&account)), updates.clone()).await {
                    Ok(()) => {
                        self.live.publish_runtimes(account);
                        continue;
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the states of runtimes cannot be stored; they are kept");
                        is_available = false;
                    }
                }
            }
            for update in updates {
                match (update.ended, self.connection(&update.id)) {
                    (Some(_), _) => self.ended.lock().push(update),
                    (None, Some(connection)) => connection.restore_update(&update),
                    (None, None) => {}
                }
            }
        }
    }

    async fn store_of_account(
        &self,
        account: AccountId,
        updates: Vec<RuntimeUpdate>,
    ) -> Result<(), StoreError> {
        let store = self.store.clone();
        spawn_transaction(async move {
            let mut tx = store.begin().await?;
            rows::update(&mut tx, &account, &updates).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Executes the commands for connections of this node.
    async fn execute_commands(&self) -> Result<(), StoreError> {
        for PendingCommand { id, runtime, command } in self.store.runtime_commands(&self.node.id).await? {
            let connection = parse_id(runtime.as_str()).and_then(|id| self.connection(&id));
            let is_executed = match (command, connection) {
                // The connection has ended.
                (_, None) => true,
                (RuntimeCommand::Disconnect, Some(connection)) => {
                    connection.end(End::DISCONNECTED);
                    true
                }
                (RuntimeCommand::Drain, Some(connection)) => {
                    connection.instructions.try_send(Instruction::Drain).is_ok()
                }
                // It is executed when the round trip is stored.
                (RuntimeCommand::Test, Some(connection)) => {
                    let _ = connection.instructions.try_send(Instruction::Test);
                    false
                }
            };
            if is_executed {
                self.store.finish_command(&id).await?;
            }
        }
        Ok(())
    }

    /// Compares the connections of this node with those that are recorded as open. Closes a connection that another one has
    /// replaced, and records the end of one that does not exist: the outcome of a transaction can be unknown. `unmatched`
    /// are those that had no counterpart in the last call.
    async fn reconcile(&self, unmatched: &mut HashSet<Id>) -> Result<(), StoreError> {
        let registered: Vec<_> = self
            .open
            .lock()
            .by_id
            .values()
            .filter(|connection| connection.is_registered())
            .cloned()
            .collect();
        let recorded: HashMap<Id, Id> = self.store.open_runtimes(&self.node.id).await?.into_iter().collect();
        let mut now_unmatched = HashSet::new();
        for connection in registered.iter().filter(|connection| !recorded.contains_key(&connection.id)) {
            match self.store.recorded_end(&connection.id).await? {
                // It finishes its requests.
                Some(EndReason::Replaced) => {
                    connection.requests.close();
                    if connection.requests.in_flight() == 0 {
                        connection.end(End::REPLACED);
                    } else {
                        let _ = connection.instructions.try_send(Instruction::Replace);
                    }
                }
                // Another node has recorded it as lost. The runtime connects again.
                Some(_) => connection.end(End::UNVERIFIED),
                // It was deleted with its Mecha, which the verification finds first.
                None if unmatched.contains(&connection.id) => connection.end(End::UNVERIFIED),
                None => drop(now_unmatched.insert(connection.id)),
            }
        }
        let now = self.clock.now();
        for (id, account) in recorded.iter().filter(|(id, _)| self.connection(id).is_none()) {
            if unmatched.contains(id) {
                self.ended.lock().push(RuntimeUpdate::lost(*id, *account, now));
                self.has_updates.notify_one();
            } else {
                now_unmatched.insert(*id);
            }
        }
        *unmatched = now_unmatched;
        Ok(())
    }

    /// Records that the connections of nodes that have died were lost.
    async fn end_runtimes_of_dead_nodes(&self) -> Result<(), StoreError> {
        // The rows first: a node that starts in between is not taken for a dead one. Ids of nodes are never used again.
        let recorded = self.store.nodes_with_runtimes().await?;
        let live = self.store.live_nodes(&self.node.id, LOST_AFTER_SECONDS).await?;
        let mut dead: HashMap<AccountId, HashSet<String>> = HashMap::new();
        for (account, node) in recorded.into_iter().filter(|(_, node)| !live.contains(node)) {
            dead.entry(account).or_default().insert(node);
        }
        for (account, nodes) in dead {
            let (store, of_account, now) = (self.store.clone(), account.clone(), self.clock.now());
            spawn_transaction(async move {
                let mut tx = store.begin().await?;
                rows::end_runtimes_of_nodes(&mut tx, &of_account, &nodes, now).await?;
                Ok::<_, StoreError>(tx.commit().await?)
            })
            .await?;
            if let Some(account) = parse_id(&account.0) {
                self.live.publish_runtimes(account);
            }
        }
        Ok(())
    }
}
