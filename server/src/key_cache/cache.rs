//! Keeps the index consistent with the database.
//!
//! Every change of a key goes through [`KeyCache::begin`]. A change is acknowledged only after the index contains it.
//! Every verification that begins after the acknowledgement therefore sees the change.
//!
//! On SQLite this process is the only one. A lock serialises the changes until each is in the index, so the index
//! applies them in commit order. On PostgreSQL there may be other nodes. There the database orders the changes, and
//! [`Node`] applies them and waits for the other nodes.

use crate::ids::Id;
use crate::ids::{hex, parse_id};
use crate::key_cache::cluster::identity::NodeIdentity;
use crate::key_cache::cluster::lease::Lease;
use crate::key_cache::cluster::replication::Node;
use crate::key_cache::index::KeyIndex;
use crate::key_entry::KeyEntry;
use crate::secret::SecretDigest;
use crate::store::activity::{self, NewActivity};
use crate::store::key_entries::{self as rows};
use crate::store::{
    Store, StoreError, Tx, api_keys, cluster, disable_statement_timeout, lock_account, spawn_transaction,
    with_timeout,
};
use crate::usage::live_events::LiveEvents;
use app::domain::account::AccountId;
use app::domain::activity::ActivityKind;
use app::domain::api_key::KeyId;
use app::domain::mecha::MechaId;
use app::domain::timestamp::Timestamp;
use app::domain::usage::ClientName;
use futures::FutureExt;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// How long a change waits for earlier changes. A longer wait means that the database is locked or far too slow.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
/// Delay between attempts to read the committed keys after a failed commit.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// This node holds no lease, so the index may differ from the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoLease;

/// In-memory copy of all keys. Clones share state.
#[derive(Clone, Debug)]
pub struct KeyCache {
    /// The database, which holds the authoritative copy.
    pub store: Store,
    /// The entry of every secret, by digest.
    pub index: Arc<KeyIndex>,
    /// While it holds, verifications may rely on the index.
    pub lease: Arc<Lease>,
    /// Notifies pages of changes.
    live: Arc<LiveEvents>,
    /// `None` on SQLite, where this process is the only one.
    node: Option<Node>,
    /// Serialises changes on SQLite.
    change_lock: Arc<Mutex<()>>,
}

/// An open transaction that changes the keys of an account. Dropping it rolls the transaction back.
#[derive(Debug)]
pub struct Change {
    /// The transaction that changes the keys.
    pub tx: Tx,
    key_cache: KeyCache,
    account: AccountId,
    /// Digests of the account's secrets before the change.
    before: HashSet<[u8; 32]>,
    /// `None` on PostgreSQL, where the database serialises changes.
    change_guard: Option<OwnedMutexGuard<()>>,
}

impl KeyCache {
    /// Loads all secrets into the index.
    ///
    /// # Errors
    /// The database does not respond, or a row cannot be decoded.
    pub async fn open(store: Store, node: NodeIdentity, live: Arc<LiveEvents>) -> Result<Self, StoreError> {
        let index = Arc::new(KeyIndex::with_capacity(store.key_count().await?));
        if store.is_shared() {
            let lease = Arc::new(Lease::ended());
            let (index_of_node, live_of_node) = (Arc::clone(&index), Arc::clone(&live));
            let node =
                Node::join(node, store.clone(), index_of_node, Arc::clone(&lease), live_of_node).await?;
            return Ok(Self { store, index, lease, live, node: Some(node), change_lock: Arc::default() });
        }
        store.read_key_entries(&|digest, entry| index.put(digest, entry)).await?;
        Ok(Self {
            store,
            index,
            lease: Arc::new(Lease::permanent()),
            live,
            node: None,
            change_lock: Arc::default(),
        })
    }

    /// Looks up the entry of the secret with this SHA-256 in the index.
    ///
    /// # Errors
    /// [`NoLease`]: the index may be stale; query the database instead.
    pub fn find(&self, digest: &[u8; 32]) -> Result<Option<KeyEntry>, NoLease> {
        // Check the lease before the lookup. A lease that holds after a change was acknowledged was extended after
        // the index applied that change.
        if !self.lease.holds() {
            return Err(NoLease);
        }
        let found = self.index.find(digest);
        // A reload ends the lease before it clears the index. A missing entry counts only if the lease still holds.
        if found.is_none() && !self.lease.holds() { Err(NoLease) } else { Ok(found) }
    }

    /// Waits until every node has applied all committed changes. Call it before a response reports that a key does
    /// not exist: no node may allow that key afterwards.
    pub async fn wait_for_nodes(&self) {
        if let Some(node) = &self.node {
            node.wait_for_nodes().await;
        }
    }

    /// Stops verifying from memory and ends the lease, so that other nodes do not wait for this one.
    pub async fn shut_down(&self) {
        if let Some(node) = &self.node {
            node.shut_down().await;
        }
    }

    /// Begins a change of an account's keys. Run it in [`spawn_transaction`].
    ///
    /// # Errors
    /// The database does not respond, or the wait for earlier changes exceeds 3 s.
    pub async fn begin(&self, account: &AccountId) -> Result<Change, StoreError> {
        let change_guard = match self.node {
            None => Some(
                with_timeout(
                    LOCK_TIMEOUT,
                    Arc::clone(&self.change_lock).lock_owned().map(Ok::<_, StoreError>),
                )
                .await?,
            ),
            Some(_) => None,
        };
        let mut tx = self.store.begin().await?;
        lock_account(&mut tx, account).await?;
        let before = rows::of_account(&mut tx, account).await?;
        Ok(Change {
            tx,
            key_cache: self.clone(),
            account: account.clone(),
            before: before.into_iter().map(|(digest, _)| digest).collect(),
            change_guard,
        })
    }

    /// Retires a previous secret whose grace period lasts until the first use of the new secret, `new`.
    ///
    /// # Errors
    /// The database does not respond.
    pub(crate) async fn retire_previous(
        &self,
        key: Id,
        account: Id,
        new: SecretDigest,
        now: Timestamp,
        client: ClientName,
    ) -> Result<(), StoreError> {
        let (key_cache, account) = (self.clone(), AccountId(hex(&account)));
        spawn_transaction(async move {
            let Some(key) = KeyId::parse(&hex(&key)) else { return Ok(()) };
            let mut change = key_cache.begin(&account).await?;
            // Of several concurrent first uses, only one retires the secret. On SQLite the index is current here,
            // because this change holds the lock.
            let is_retired =
                || key_cache.index.find(new.as_bytes()).is_none_or(|entry| !entry.retires_previous);
            if key_cache.node.is_none() && is_retired() {
                return Ok(());
            }
            let is_first_use = api_keys::retire_on_use(&mut change.tx, &key, &new, now).await?;
            if is_first_use {
                let details = api_keys::details(&mut change.tx, &account, &key).await?.unwrap_or_default();
                let retired = NewActivity {
                    account: &account,
                    at: now,
                    what: ActivityKind::PreviousSecretReplaced,
                    key: (key.as_str(), &details.name),
                    mecha: (details.owner.mecha().map_or("", MechaId::as_str), &details.mecha),
                    became: "",
                    client: &client,
                };
                activity::insert(&mut change.tx, &retired).await?;
            }
            change.commit().await?;
            if is_first_use {
                tracing::info!(key = key.as_str(), "previous secret retired on first use of the new secret");
            }
            Ok(())
        })
        .await
    }

    /// Deletes keys that expired, and previous secrets whose grace period ended, at `ended_by` or before.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn delete_expired(&self, ended_by: Timestamp) -> Result<(), StoreError> {
        let key_cache = self.clone();
        spawn_transaction(async move {
            let _change_guard = key_cache.change_lock.lock().await;
            let mut tx = key_cache.store.begin().await?;
            disable_statement_timeout(&mut tx).await?;
            let ended = rows::ended(&mut tx, ended_by).await?;
            if ended.is_empty() {
                return Ok(());
            }
            api_keys::delete_expired(&mut tx, ended_by).await?;
            if let Some(node) = &key_cache.node {
                cluster::record_change(&mut tx, node.id(), &AccountId(String::new()), &ended).await?;
            }
            tx.commit().await?;
            let changed: HashSet<Id> =
                ended.iter().filter_map(|digest| key_cache.index.remove(digest)).collect();
            changed.into_iter().for_each(|account| key_cache.live.publish_change(account));
            Ok(())
        })
        .await
    }
}

impl Change {
    /// Commits the transaction and applies the change to the index. On PostgreSQL it also waits for the other nodes.
    ///
    /// # Errors
    /// The database does not respond, so the outcome of the commit is unknown. The index is updated in the background
    /// to what was committed.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        let after = rows::of_account(&mut self.tx, &self.account).await?;
        let Self { mut tx, key_cache, account, before, change_guard } = self;
        if let Some(node) = &key_cache.node {
            let removed: Vec<_> =
                before.into_iter().filter(|old| !after.iter().any(|(digest, _)| digest == old)).collect();
            cluster::record_change(&mut tx, node.id(), &account, &removed).await?;
            tx.commit().await?;
            node.wait_for_nodes().await;
            return Ok(());
        }
        if let Err(error) = tx.commit().await {
            // The task keeps the lock, so that no later change reaches the index first.
            tokio::spawn(async move {
                let after = loop {
                    match key_cache.store.key_entries_of(&account).await {
                        Ok(after) => break after,
                        Err(error) => {
                            tracing::error!(%error, "cannot read the committed keys after a failed commit; retrying");
                        }
                    }
                    tokio::time::sleep(RETRY_DELAY).await;
                };
                key_cache.apply(&account, before, after);
                drop(change_guard);
            });
            return Err(error.into());
        }
        key_cache.apply(&account, before, after);
        drop(change_guard);
        Ok(())
    }
}

impl KeyCache {
    /// Inserts or replaces the entries in `after`, removes the digests that are only in `before`, and notifies the pages of
    /// the account.
    fn apply(&self, account: &AccountId, mut before: HashSet<[u8; 32]>, after: Vec<rows::Secret>) {
        for (digest, entry) in after {
            self.index.put(&digest, &entry);
            before.remove(&digest);
        }
        for digest in before {
            self.index.remove(&digest);
        }
        if let Some(account) = parse_id(&account.0) {
            self.live.publish_change(account);
        }
    }
}
