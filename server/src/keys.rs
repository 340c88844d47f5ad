//! Use cases of API keys: their owner's, and their validation.

use crate::accounts::new_id;
use crate::clock::Clock;
use crate::secret::{PlainSecret, Prefix};
use crate::store::api_keys::{self, Change, NOTE_USE_EVERY, NewApiKey, Presented};
use crate::store::{Store, StoreError, Tx, detached};
use app::domain::account::AccountId;
use app::domain::api_key::{EXPIRED_KEPT_FOR, KeyId, KeyList, NewSecret};
use app::domain::description::Description;
use app::domain::expiry::Period;
use app::domain::key_name::KeyName;
use app::domain::timestamp::Timestamp;
use app::error::{ConsoleError, Field, Problem};
use rand::CryptoRng;
use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Makes, governs and validates keys.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Where they are kept.
    pub store: Store,
    /// Judges their expiry.
    pub clock: Clock,
    /// What their secrets begin with.
    pub prefix: Prefix,
    /// Keys whose use is about to be noted.
    pub noting: Arc<Mutex<HashSet<String>>>,
}

/// Why a key was not let in: for the log only. Whoever presented it is told nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denial {
    /// What was presented cannot be a secret.
    Malformed,
    /// No key has this secret.
    Unknown,
    /// The Key ID is that of another key.
    WrongPair,
    /// Its owner has switched it off.
    Inactive,
    /// It has expired.
    Expired,
}

/// What a program presents. It does not print the secret.
pub struct Credential {
    /// The Key ID, if the way of presenting it has one.
    pub id: Option<String>,
    /// What it says is the secret.
    pub secret: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Keys {
    /// All keys of an account.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn list(&self, account: &AccountId) -> Result<KeyList, ConsoleError> {
        let now = self.clock.now();
        Ok(KeyList { now, keys: self.store.keys(account, now).await?, new: None })
    }

    /// Makes a key.
    ///
    /// # Errors
    /// A name that is taken, or the limit of keys.
    pub async fn create(
        &self,
        account: &AccountId,
        name: KeyName,
        period: Period,
        description: Description,
        rng: &mut impl CryptoRng,
    ) -> Result<KeyList, ConsoleError> {
        let now = self.clock.now();
        let secret = PlainSecret::generate(&self.prefix, rng);
        let id = KeyId::parse(&new_id(now.0, rng)).ok_or(ConsoleError::Internal)?;
        let new = NewApiKey {
            id: id.clone(),
            name,
            description,
            digest: secret.digest(),
            last_four: secret.last_four().to_owned(),
            expires_at: period.expires_at(now),
        };
        let mut list = self.change(account, now, Edit::Create(new)).await?;
        list.new = Some(NewSecret { id, secret: secret.reveal().to_owned() });
        Ok(list)
    }

    /// Gives a key another name.
    ///
    /// # Errors
    /// A name that is taken, or no such key.
    pub async fn rename(
        &self,
        account: &AccountId,
        key: &KeyId,
        name: KeyName,
    ) -> Result<KeyList, ConsoleError> {
        self.change(account, self.clock.now(), Edit::Rename(key.clone(), name)).await
    }

    /// Moves the expiry of a key later, counted from now.
    ///
    /// # Errors
    /// A period that ends too early, an expired key, or no such key.
    pub async fn refresh(
        &self,
        account: &AccountId,
        key: &KeyId,
        period: Period,
    ) -> Result<KeyList, ConsoleError> {
        self.change(account, self.clock.now(), Edit::Refresh(key.clone(), period)).await
    }

    /// Switches a key on or off.
    ///
    /// # Errors
    /// An expired key, or no such key.
    pub async fn set_active(
        &self,
        account: &AccountId,
        key: &KeyId,
        active: bool,
    ) -> Result<KeyList, ConsoleError> {
        self.change(account, self.clock.now(), Edit::SetActive(key.clone(), active)).await
    }

    /// Deletes a key for ever, if `confirm_name` is its name.
    ///
    /// # Errors
    /// Another name, or no such key.
    pub async fn delete(
        &self,
        account: &AccountId,
        key: &KeyId,
        confirm_name: &str,
    ) -> Result<KeyList, ConsoleError> {
        self.change(account, self.clock.now(), Edit::Delete(key.clone(), confirm_name.to_owned())).await
    }

    /// Makes one change and reads the list, in one transaction: what is answered is what was committed, and
    /// no error after a commit can lose a secret.
    async fn change(&self, account: &AccountId, now: Timestamp, edit: Edit) -> Result<KeyList, ConsoleError> {
        let (store, account) = (self.store.clone(), account.clone());
        detached(async move {
            let mut tx = store.begin().await?;
            let (what, key) = edit.subject();
            edit.apply(&mut tx, &account, now).await?;
            let keys = api_keys::list(&mut *tx, &account, now).await?;
            tx.commit().await.map_err(StoreError::from)?;
            tracing::info!(key, account = account.0, "key {what}");
            Ok(KeyList { now, keys, new: None })
        })
        .await
    }

    /// The key that a program presents, if it is let in now. The reason why not is for the log.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn verify(
        &self,
        credential: &Credential,
        client: IpAddr,
    ) -> Result<Result<Presented, Denial>, StoreError> {
        let now = self.clock.now();
        let Some(secret) = PlainSecret::parse(&self.prefix, &credential.secret) else {
            return Ok(Err(Denial::Malformed));
        };
        let Some(key) = self.store.presented(&secret.digest()).await? else {
            return Ok(Err(Denial::Unknown));
        };
        let is_wrong_pair = credential.id.as_ref().is_some_and(|id| !id.eq_ignore_ascii_case(&key.id));
        let denial = if is_wrong_pair {
            Some(Denial::WrongPair)
        } else if key.expires_at.is_some_and(|at| at <= now.0) {
            Some(Denial::Expired)
        } else if !key.active {
            Some(Denial::Inactive)
        } else {
            None
        };
        if let Some(denial) = denial {
            tracing::info!(key = key.id, ?denial, "key refused");
            return Ok(Err(denial));
        }
        if key.last_used_at.is_none_or(|at| at <= now.0 - NOTE_USE_EVERY) {
            self.note_use(&key.id, client, now);
        }
        Ok(Ok(key))
    }

    /// Off the request's path: at most once a minute for each key, and never in the way of an answer.
    fn note_use(&self, key: &str, client: IpAddr, now: Timestamp) {
        let noting = || self.noting.lock().unwrap_or_else(PoisonError::into_inner);
        // Many first requests at once are one note.
        if !noting().insert(key.to_owned()) {
            return;
        }
        let (keys, key) = (self.clone(), key.to_owned());
        tokio::spawn(async move {
            let noted = async {
                let mut tx = keys.store.begin().await?;
                api_keys::note_use(&mut tx, &key, &client.to_string(), now).await?;
                tx.commit().await.map_err(StoreError::from)
            };
            if let Err(error) = noted.await {
                tracing::warn!(key, %error, "the use of a key was not noted");
            }
            keys.noting.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        });
    }

    /// Clears away keys that expired long ago.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let (store, expired_by) = (self.store.clone(), self.clock.now().plus(-EXPIRED_KEPT_FOR));
        detached(async move {
            let mut tx = store.begin().await?;
            api_keys::delete_expired(&mut tx, expired_by).await?;
            Ok(tx.commit().await?)
        })
        .await
    }
}

/// One change of an account's keys.
#[derive(Debug)]
enum Edit {
    Create(NewApiKey),
    Rename(KeyId, KeyName),
    Refresh(KeyId, Period),
    SetActive(KeyId, bool),
    Delete(KeyId, String),
}

impl Edit {
    /// What is logged of it.
    fn subject(&self) -> (&'static str, String) {
        let (what, key) = match self {
            Self::Create(new) => ("made", &new.id),
            Self::Rename(key, _) => ("renamed", key),
            Self::Refresh(key, _) => ("refreshed", key),
            Self::SetActive(key, true) => ("switched on", key),
            Self::SetActive(key, false) => ("switched off", key),
            Self::Delete(key, _) => ("deleted", key),
        };
        (what, key.as_str().to_owned())
    }

    async fn apply(self, tx: &mut Tx, account: &AccountId, now: Timestamp) -> Result<(), ConsoleError> {
        let change = match self {
            Self::Create(new) => {
                // A key that is about to be cleared away does not keep its name from a new one.
                api_keys::delete_expired(tx, now.plus(-EXPIRED_KEPT_FOR)).await?;
                api_keys::insert(tx, account, &new, now).await?
            }
            Self::Rename(key, name) => api_keys::rename(tx, account, &key, &name).await?,
            Self::Refresh(key, period) => {
                api_keys::refresh(tx, account, &key, period.expires_at(now), now).await?
            }
            Self::SetActive(key, active) => api_keys::set_active(tx, account, &key, active, now).await?,
            Self::Delete(key, typed) => {
                api_keys::delete(tx, account, &key, |name| KeyName::is_reentered(name, &typed)).await?
            }
        };
        match change {
            Change::Done => Ok(()),
            Change::NotFound => Err(ConsoleError::NotFound),
            Change::Taken => Err(ConsoleError::field(Field::Name, Problem::Taken)),
            Change::LimitReached => Err(ConsoleError::LimitReached),
            Change::Expired => Err(ConsoleError::KeyExpired),
            Change::NotLater => Err(ConsoleError::field(Field::ExpireIn, Problem::NotLater)),
            Change::DoesNotMatch => Err(ConsoleError::field(Field::ConfirmName, Problem::DoesNotMatch)),
        }
    }
}
