//! Keeps the index what the database is.
//!
//! Every change of a key goes through [`KeyCache::begin`], and nobody is told that a change was made before the index has
//! it: what begins after such an answer meets the change.
//!
//! On SQLite this process is alone: changes take turns until their effect is in the index, so that it takes them in the
//! order in which they were committed. On PostgreSQL there may be other nodes, and [`Node`] does both.

use crate::ids::Id;
use crate::ids::hex;
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
use app::domain::activity::What;
use app::domain::api_key::KeyId;
use app::domain::timestamp::Timestamp;
use futures::FutureExt;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedMutexGuard};

/// How long a change waits for those before it. Beyond that the database is locked, or far too slow.
const TURN_TIMEOUT: Duration = Duration::from_secs(3);
/// How long to wait before the database is asked again what was committed.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Memory may not be what the database has: this node holds no lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoLease;

/// All secrets. Copies are the same.
#[derive(Clone, Debug)]
pub struct KeyCache {
    /// Where they are kept.
    pub store: Store,
    /// Where they are looked up.
    pub index: Arc<KeyIndex>,
    /// Until when that is what the database has.
    pub lease: Arc<Lease>,
    /// `None` where this process is alone.
    node: Option<Node>,
    turn: Arc<Mutex<()>>,
}

/// A change of an account's keys that has begun. Dropped, it changes nothing.
#[derive(Debug)]
pub struct Change {
    /// The transaction to change them in.
    pub tx: Tx,
    secrets: KeyCache,
    account: AccountId,
    before: HashSet<[u8; 32]>,
    /// `None` where the database makes changes take turns.
    turn: Option<OwnedMutexGuard<()>>,
}

impl KeyCache {
    /// Takes all secrets into memory. `node` is a name that no other process has.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn open(store: Store, node: String, live: Arc<LiveEvents>) -> Result<Self, StoreError> {
        let index = Arc::new(KeyIndex::with_capacity(store.key_count().await?));
        if store.is_shared() {
            let lease = Arc::new(Lease::ended());
            let node = Node::join(node, store.clone(), Arc::clone(&index), Arc::clone(&lease), live).await?;
            return Ok(Self { store, index, lease, node: Some(node), turn: Arc::default() });
        }
        store.read_key_entries(&|digest, entry| index.put(digest, entry)).await?;
        Ok(Self { store, index, lease: Arc::new(Lease::for_ever()), node: None, turn: Arc::default() })
    }

    /// What is known of the secret with this SHA-256, from memory; an error if memory may not be believed now.
    ///
    /// # Errors
    /// [`NoLease`]: ask the database.
    pub fn find(&self, digest: &[u8; 32]) -> Result<Option<KeyEntry>, NoLease> {
        // First the lease: any that holds after a change was answered was extended after the change was in memory.
        if !self.lease.holds() {
            return Err(NoLease);
        }
        let found = self.index.find(digest);
        // Whoever reads everything anew first ends the lease; what is missing then may only be so for a moment.
        if found.is_none() && !self.lease.holds() { Err(NoLease) } else { Ok(found) }
    }

    /// Waits until everything that was committed is met by whoever asks any node: who is told that a key is gone must not
    /// find that another node lets it in.
    pub async fn wait_for_nodes(&self) {
        if let Some(node) = &self.node {
            node.wait_for_nodes().await;
        }
    }

    /// Verifies no more from memory, so that no other node waits for this one.
    pub async fn shut_down(&self) {
        if let Some(node) = &self.node {
            node.shut_down().await;
        }
    }

    /// Begins to change the keys of an account. Run it in [`spawn_transaction`].
    ///
    /// # Errors
    /// The database does not answer, or others change keys for too long.
    pub async fn begin(&self, account: &AccountId) -> Result<Change, StoreError> {
        let turn = match self.node {
            None => Some(
                with_timeout(TURN_TIMEOUT, Arc::clone(&self.turn).lock_owned().map(Ok::<_, StoreError>))
                    .await?,
            ),
            Some(_) => None,
        };
        let mut tx = self.store.begin().await?;
        lock_account(&mut tx, account).await?;
        let before = rows::of_account(&mut tx, account).await?;
        Ok(Change {
            tx,
            secrets: self.clone(),
            account: account.clone(),
            before: before.into_iter().map(|(digest, _)| digest).collect(),
            turn,
        })
    }

    /// Ends the grace of an old secret that was to last until the new one is used.
    ///
    /// # Errors
    /// The database does not answer.
    pub(crate) async fn retire_previous(
        &self,
        key: Id,
        account: Id,
        new: SecretDigest,
        now: Timestamp,
        client: IpAddr,
    ) -> Result<(), StoreError> {
        let (secrets, account) = (self.clone(), AccountId(hex(&account)));
        spawn_transaction(async move {
            let Some(key) = KeyId::parse(&hex(&key)) else { return Ok(()) };
            let mut change = secrets.begin(&account).await?;
            // Of many first uses at once, one has done it.
            let is_done = || secrets.index.find(new.as_bytes()).is_none_or(|entry| !entry.retires_previous);
            if secrets.node.is_none() && is_done() {
                return Ok(());
            }
            if api_keys::retire_on_use(&mut change.tx, &key, &new, now).await? {
                let name = api_keys::name(&mut change.tx, &account, &key).await?.unwrap_or_default();
                let done = NewActivity {
                    account: &account,
                    at: now,
                    what: What::OldSecretReplaced,
                    key: (key.as_str(), &name),
                    became: "",
                    address: &client.to_string(),
                };
                activity::insert(&mut change.tx, &done).await?;
            }
            change.commit().await?;
            tracing::info!(key = key.as_str(), "old secret retired on first use of the new one");
            Ok(())
        })
        .await
    }

    /// Clears away what ended at `ended_by` or before.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn clear_ended(&self, ended_by: Timestamp) -> Result<(), StoreError> {
        let secrets = self.clone();
        spawn_transaction(async move {
            let _turn = secrets.turn.lock().await;
            let mut tx = secrets.store.begin().await?;
            disable_statement_timeout(&mut tx).await?;
            let ended = rows::ended(&mut tx, ended_by).await?;
            if ended.is_empty() {
                return Ok(());
            }
            api_keys::clear_ended(&mut tx, ended_by).await?;
            if let Some(node) = &secrets.node {
                cluster::record_change(&mut tx, node.id(), &AccountId(String::new()), &ended).await?;
            }
            tx.commit().await?;
            ended.iter().for_each(|digest| secrets.index.remove(digest));
            Ok(())
        })
        .await
    }
}

impl Change {
    /// Commits, and then takes the change into the index.
    ///
    /// # Errors
    /// The database does not answer. Whether it has committed is then found out, and the index follows.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        let after = rows::of_account(&mut self.tx, &self.account).await?;
        let Self { mut tx, secrets, account, before, turn } = self;
        if let Some(node) = &secrets.node {
            let gone: Vec<_> =
                before.into_iter().filter(|old| !after.iter().any(|(digest, _)| digest == old)).collect();
            cluster::record_change(&mut tx, node.id(), &account, &gone).await?;
            tx.commit().await?;
            node.wait_for_nodes().await;
            return Ok(());
        }
        if let Err(error) = tx.commit().await {
            tokio::spawn(async move {
                let after = loop {
                    match secrets.store.secrets_of(&account).await {
                        Ok(after) => break after,
                        Err(error) => tracing::error!(%error, "what was committed is not known yet"),
                    }
                    tokio::time::sleep(RETRY_DELAY).await;
                };
                secrets.apply(before, after);
                drop(turn);
            });
            return Err(error.into());
        }
        secrets.apply(before, after);
        drop(turn);
        Ok(())
    }
}

impl KeyCache {
    fn apply(&self, mut before: HashSet<[u8; 32]>, after: Vec<rows::Secret>) {
        for (digest, entry) in after {
            self.index.put(&digest, &entry);
            before.remove(&digest);
        }
        before.iter().for_each(|digest| self.index.remove(digest));
    }
}
