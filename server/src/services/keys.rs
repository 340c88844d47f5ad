//! API key use cases of the account that owns the keys.

use crate::clock::Clock;
use crate::ids::new_id;
use crate::ids::parse_id;
use crate::key_cache::cache::KeyCache;
use crate::random::system_rng;
use crate::secret::PlainSecret;
use crate::secret::Prefixes;
use crate::services::accounts::require_session;
use crate::services::rate_limit::ChangeLimiter;
use crate::store::activity::{self, NewActivity};
use crate::store::api_keys::{self, Change, KeyNames, NewApiKey, NewSecretRow};
use crate::store::{Store, StoreError, Tx, disable_statement_timeout, mechas, spawn_transaction, usage};
use crate::usage::recorder::UsageRecorder;
use app::backend::{KeyBackend, SignedIn};
use app::domain::account::AccountId;
use app::domain::activity::{ACTIVITY_RETENTION, ActivityKind};
use app::domain::api_key::{ApiKey, EXPIRED_KEY_RETENTION, KeyId, KeyList, NewSecret};
use app::domain::description::Description;
use app::domain::expiry::Period;
use app::domain::field_error::{Field, FieldError};
use app::domain::key_name::KeyName;
use app::domain::mecha::{KeyOwner, MechaId};
use app::domain::rotation::Grace;
use app::domain::timestamp::{SECOND, Timestamp};
use app::domain::usage::{DailyUsage, KeyUsage, USAGE_RETENTION};
use app::error::ConsoleError;
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::Arc;

/// Creates, changes and deletes API keys, and reports their usage.
#[derive(Clone, Debug)]
pub struct Keys {
    /// The database.
    pub store: Store,
    /// Source of the current time.
    pub clock: Clock,
    /// The prefix of new secrets, and previous prefixes.
    pub prefixes: Prefixes,
    /// The key cache. Every change of a key goes through it.
    pub key_cache: KeyCache,
    /// Records who used which key.
    pub usage: Arc<UsageRecorder>,
    /// Limits changes per account.
    pub change_limiter: ChangeLimiter,
}

#[async_trait]
impl KeyBackend for Keys {
    async fn list(&self, account: &AccountId, owner: &KeyOwner) -> Result<KeyList, ConsoleError> {
        let now = self.clock.now();
        Ok(self.listed(now, owner.clone(), self.store.keys(account, owner, now).await?))
    }

    async fn create(
        &self,
        who: &SignedIn,
        owner: KeyOwner,
        name: KeyName,
        period: Period,
        description: Description,
    ) -> Result<KeyList, ConsoleError> {
        let now = self.clock.now();
        let prefix = &self.prefixes.current;
        let secret = PlainSecret::generate(prefix, &mut system_rng());
        let id = KeyId::parse(&new_id(now.0, &mut system_rng())).ok_or(ConsoleError::Internal)?;
        let new = NewApiKey {
            id: id.clone(),
            owner,
            name,
            description,
            digest: secret.digest(),
            last_four: secret.last_four().to_owned(),
            prefix: prefix.to_string(),
            expires_at: period.expires_at(now),
        };
        let mut list = self.change(who, now, Edit::Create(new)).await?;
        list.new = Some(NewSecret { id, secret: secret.reveal().to_owned() });
        Ok(list)
    }

    async fn rename(&self, who: &SignedIn, key: &KeyId, name: KeyName) -> Result<KeyList, ConsoleError> {
        self.change(who, self.clock.now(), Edit::Rename(key.clone(), name)).await
    }

    async fn refresh(&self, who: &SignedIn, key: &KeyId, period: Period) -> Result<KeyList, ConsoleError> {
        let now = self.clock.now();
        self.change(who, now, Edit::Refresh(key.clone(), period.expires_at(now))).await
    }

    async fn set_active(&self, who: &SignedIn, key: &KeyId, active: bool) -> Result<KeyList, ConsoleError> {
        self.change(who, self.clock.now(), Edit::SetActive(key.clone(), active)).await
    }

    async fn delete(&self, who: &SignedIn, key: &KeyId, confirm_name: &str) -> Result<KeyList, ConsoleError> {
        self.change(who, self.clock.now(), Edit::Delete(key.clone(), confirm_name.to_owned())).await
    }

    async fn rotate(&self, who: &SignedIn, key: &KeyId, grace: Grace) -> Result<KeyList, ConsoleError> {
        let now = self.clock.now();
        let prefix = &self.prefixes.current;
        let secret = PlainSecret::generate(prefix, &mut system_rng());
        let new = NewSecretRow {
            digest: secret.digest(),
            last_four: secret.last_four().to_owned(),
            prefix: prefix.to_string(),
            grace,
        };
        let mut list = self.change(who, now, Edit::Rotate(key.clone(), new)).await?;
        // The new secret was unknown until now: all uses up to this moment were of the previous secret.
        list.now = self.clock.now();
        list.new = Some(NewSecret { id: key.clone(), secret: secret.reveal().to_owned() });
        Ok(list)
    }

    async fn retire(&self, who: &SignedIn, key: &KeyId) -> Result<KeyList, ConsoleError> {
        self.change(who, self.clock.now(), Edit::Retire(key.clone())).await
    }

    async fn daily_usage(
        &self,
        account: &AccountId,
        list: &KeyList,
    ) -> Result<HashMap<KeyId, DailyUsage>, ConsoleError> {
        let today = self.clock.now().day();
        let mut usage = self.store.daily_usage(account, today).await?;
        for key in &list.keys {
            if let Some(id) = parse_id(key.id.as_str()) {
                let of_key = usage.entry(key.id.clone()).or_insert_with(|| DailyUsage::none(today));
                self.usage.add_unflushed_days(of_key, &id);
            }
        }
        Ok(usage)
    }

    async fn usage(&self, account: &AccountId, key: &KeyId) -> Result<KeyUsage, ConsoleError> {
        let now = self.clock.now();
        let row = self.store.key_by_id(key).await?;
        if row.is_none_or(|row| row.account_id != account.0) {
            return Err(ConsoleError::NotFound);
        }
        let mut usage = self.store.usage(account, key, now.plus(-USAGE_RETENTION)).await?;
        if let Some(id) = parse_id(key.as_str()) {
            self.usage.add_unflushed(&mut usage, &id);
        }
        Ok(usage)
    }
}

impl Keys {
    /// Applies a change and reads the list in the same transaction. The response shows what was committed, and no error
    /// after the commit can lose a secret.
    async fn change(&self, who: &SignedIn, now: Timestamp, edit: Edit) -> Result<KeyList, ConsoleError> {
        self.change_limiter.count(&who.account).await?;
        let (keys, who) = (self.clone(), who.clone());
        spawn_transaction(async move {
            let account = &who.account;
            let mut change = keys.key_cache.begin(account).await?;
            require_session(&mut change.tx, &who, now).await?;
            let (what, became) = edit.activity();
            let key = edit.key().clone();
            let result = match edit.names(&mut change.tx, account).await {
                Ok(names) => edit.apply(&mut change.tx, account, &names.owner, now).await.map(|()| names),
                Err(error) => Err(error),
            };
            let KeyNames { owner, mecha, key: name } = match result {
                Ok(names) => names,
                Err(error) => {
                    if matches!(error, ConsoleError::NotFound | ConsoleError::MechaNotFound) {
                        // The key or its Mecha may just have been deleted. Respond only when every node has applied
                        // that.
                        drop(change);
                        keys.key_cache.wait_for_nodes().await;
                    }
                    return Err(error);
                }
            };
            let entry = NewActivity {
                account,
                at: now,
                what,
                key: (key.as_str(), &name),
                mecha: (owner.mecha().map_or("", MechaId::as_str), &mecha),
                became: &became,
                client: &who.client,
            };
            activity::insert(&mut change.tx, &entry).await?;
            let rows = api_keys::list(&mut *change.tx, account, &owner, now).await?;
            change.commit().await?;
            tracing::info!(key = key.as_str(), account = account.0, "{}", what.name());
            Ok(keys.listed(now, owner, rows))
        })
        .await
    }

    /// Deletes expired keys, usage and activity that are past their retention periods.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        self.key_cache.delete_expired(now.plus(-EXPIRED_KEY_RETENTION)).await?;
        let store = self.store.clone();
        spawn_transaction(async move {
            let mut tx = store.begin().await?;
            disable_statement_timeout(&mut tx).await?;
            usage::forget(&mut tx, now.plus(-USAGE_RETENTION)).await?;
            // One second later, because the database's own check of the age uses whole seconds.
            activity::forget(&mut tx, now.plus(-ACTIVITY_RETENTION - SECOND)).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Persists the usage that was recorded since the last flush.
    ///
    /// # Errors
    /// The database does not respond. The usage is then kept for the next flush.
    pub async fn flush_usage(&self) -> Result<(), StoreError> {
        self.usage.flush(&self.store).await
    }

    /// Adds the last uses that are only in memory, because they were recorded after the last flush.
    fn listed(&self, now: Timestamp, owner: KeyOwner, mut keys: Vec<ApiKey>) -> KeyList {
        for key in &mut keys {
            let last_use = parse_id(key.id.as_str()).and_then(|id| self.usage.last_use(&id));
            if let Some((at, client)) =
                last_use.filter(|(at, _)| key.last_used_at.is_none_or(|known| known <= *at))
            {
                key.last_used_at = Some(at);
                key.last_used_from = Some(client.to_string());
            }
            let id = parse_id(key.id.as_str());
            if let (Some(previous), Some((at, client))) =
                (&mut key.previous, id.and_then(|id| self.usage.last_use_of_previous(&id)))
                && at > previous.rotated_at
                && previous.last_used_at.is_none_or(|known| known <= at)
            {
                previous.last_used_at = Some(at);
                previous.last_used_from = Some(client.to_string());
            }
        }
        KeyList { now, owner, keys, new: None }
    }
}

/// A change of one key.
#[derive(Debug)]
enum Edit {
    Create(NewApiKey),
    Rename(KeyId, KeyName),
    Refresh(KeyId, Option<Timestamp>),
    SetActive(KeyId, bool),
    Rotate(KeyId, NewSecretRow),
    Retire(KeyId),
    Delete(KeyId, String),
}

impl Edit {
    fn key(&self) -> &KeyId {
        match self {
            Self::Create(new) => &new.id,
            Self::Rename(key, _)
            | Self::Refresh(key, _)
            | Self::SetActive(key, _)
            | Self::Rotate(key, _)
            | Self::Retire(key)
            | Self::Delete(key, _) => key,
        }
    }

    /// The kind of the activity, and the new value that the activity log shows.
    fn activity(&self) -> (ActivityKind, String) {
        let moment = |at: Option<Timestamp>| at.map(|at| at.0.to_string()).unwrap_or_default();
        match self {
            Self::Create(new) => (ActivityKind::KeyCreated, moment(new.expires_at)),
            Self::Rename(_, name) => (ActivityKind::KeyRenamed, name.as_str().to_owned()),
            Self::Refresh(_, until) => (ActivityKind::KeyRefreshed, moment(*until)),
            Self::SetActive(_, true) => (ActivityKind::KeySwitchedOn, String::new()),
            Self::SetActive(_, false) => (ActivityKind::KeySwitchedOff, String::new()),
            Self::Rotate(_, new) => (ActivityKind::KeyRotated, new.grace.value().to_owned()),
            Self::Retire(_) => (ActivityKind::PreviousSecretRetired, String::new()),
            Self::Delete(..) => (ActivityKind::KeyDeleted, String::new()),
        }
    }

    /// The names of the key and of what owns it.
    ///
    /// # Errors
    /// There is no such key, or no such Mecha for a new one.
    async fn names(&self, tx: &mut Tx, account: &AccountId) -> Result<KeyNames, ConsoleError> {
        let Self::Create(new) = self else {
            return api_keys::names(tx, account, self.key()).await?.ok_or(ConsoleError::NotFound);
        };
        let mecha = match new.owner.mecha() {
            None => String::new(),
            Some(mecha) => mechas::name(tx, account, mecha).await?.ok_or(ConsoleError::MechaNotFound)?,
        };
        Ok(KeyNames { owner: new.owner.clone(), mecha, key: new.name.as_str().to_owned() })
    }

    async fn apply(
        self,
        tx: &mut Tx,
        account: &AccountId,
        owner: &KeyOwner,
        now: Timestamp,
    ) -> Result<(), ConsoleError> {
        if let Self::Rotate(_, new) = &self
            && !Grace::of(owner).0.contains(&new.grace)
        {
            return Err(ConsoleError::field(Field::Grace, FieldError::NotOnOffer));
        }
        let change = match self {
            Self::Create(new) => api_keys::insert(tx, account, &new, now).await?,
            Self::Rename(key, name) => api_keys::rename(tx, account, &key, &name).await?,
            Self::Refresh(key, until) => api_keys::refresh(tx, account, &key, until, now).await?,
            Self::SetActive(key, active) => api_keys::set_active(tx, account, &key, active, now).await?,
            Self::Rotate(key, new) => api_keys::rotate(tx, account, &key, &new, now).await?,
            Self::Retire(key) => api_keys::retire(tx, account, &key, now).await?,
            Self::Delete(key, typed) => {
                api_keys::delete(tx, account, &key, |name| KeyName::is_reentered(name, &typed)).await?
            }
        };
        match change {
            Change::Done => Ok(()),
            Change::NotFound => Err(ConsoleError::NotFound),
            Change::Taken => Err(ConsoleError::field(Field::Name, FieldError::Taken)),
            Change::LimitReached => Err(ConsoleError::LimitReached),
            Change::Expired => Err(ConsoleError::KeyExpired),
            Change::NotLater => Err(ConsoleError::field(Field::ExpireIn, FieldError::NotLater)),
            Change::Rotating => Err(ConsoleError::Rotating),
            Change::DoesNotMatch => Err(ConsoleError::field(Field::ConfirmName, FieldError::DoesNotMatch)),
        }
    }
}
