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
use crate::store::api_keys::{self, Change, KeyDetails, NewApiKey, NewSecretRow};
use crate::store::{Store, StoreError, Tx, disable_statement_timeout, mechas, spawn_transaction, usage};
use crate::usage::recorder::UsageRecorder;
use app::backend::{KeyBackend, KeyEdit, NewKey, SignedIn};
use app::domain::access::Access;
use app::domain::account::AccountId;
use app::domain::activity::{ACTIVITY_RETENTION, ActivityKind};
use app::domain::api_key::{ApiKey, EXPIRED_KEY_RETENTION, KeyId, KeyList, NewSecret};
use app::domain::expiry::Expiry;
use app::domain::field_error::{Field, FieldError};
use app::domain::key_name::KeyName;
use app::domain::key_policy::KeyPolicy;
use app::domain::mecha::{KeyOwner, MechaId};
use app::domain::rotation::Grace;
use app::domain::timestamp::{SECOND, Timestamp};
use app::domain::usage::{DailyUsage, KeyUsage, USAGE_RETENTION};
use app::error::{ConsoleError, FieldErrors};
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
    /// What the operator allows for keys.
    pub policy: Arc<KeyPolicy>,
    /// The key cache. Every change of a key goes through it.
    pub key_cache: KeyCache,
    /// Records who used which key.
    pub usage: Arc<UsageRecorder>,
    /// Limits changes per account.
    pub change_limiter: ChangeLimiter,
}

#[async_trait]
impl KeyBackend for Keys {
    fn policy(&self) -> Arc<KeyPolicy> {
        Arc::clone(&self.policy)
    }

    async fn list(&self, account: &AccountId, owner: &KeyOwner) -> Result<KeyList, ConsoleError> {
        let now = self.clock.now();
        Ok(self.listed(now, owner.clone(), self.store.keys(account, owner, now).await?))
    }

    async fn create(&self, who: &SignedIn, new: NewKey) -> Result<KeyList, ConsoleError> {
        let NewKey { owner, name, expiry, description, access } = new;
        let now = self.clock.now();
        let mut problems = FieldErrors::default();
        let expires_at = problems.collect(self.policy.check(expiry, now));
        let access = problems.check(Field::Scopes, self.policy.check_access(&access, &Access::Everything));
        let (Some(expires_at), Some(access)) = (expires_at, access) else { return Err(problems.into()) };
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
            expires_at,
            access,
        };
        let mut list = self.change(who, now, KeyChange::Create(new)).await?;
        list.new = Some(NewSecret { id, secret: secret.reveal().to_owned() });
        Ok(list)
    }

    async fn rename(&self, who: &SignedIn, key: &KeyId, name: KeyName) -> Result<KeyList, ConsoleError> {
        self.change(who, self.clock.now(), KeyChange::Rename(key.clone(), name)).await
    }

    async fn edit(&self, who: &SignedIn, key: &KeyId, edit: KeyEdit) -> Result<KeyList, ConsoleError> {
        self.change(who, self.clock.now(), KeyChange::Edit(key.clone(), edit)).await
    }

    async fn refresh(&self, who: &SignedIn, key: &KeyId, expiry: Expiry) -> Result<KeyList, ConsoleError> {
        let now = self.clock.now();
        let expires_at = self.policy.check(expiry, now).map_err(|it| ConsoleError::Fields(vec![it]))?;
        self.change(who, now, KeyChange::Refresh(key.clone(), expiry, expires_at)).await
    }

    async fn set_active(&self, who: &SignedIn, key: &KeyId, active: bool) -> Result<KeyList, ConsoleError> {
        self.change(who, self.clock.now(), KeyChange::SetActive(key.clone(), active)).await
    }

    async fn delete(&self, who: &SignedIn, key: &KeyId, confirm_name: &str) -> Result<KeyList, ConsoleError> {
        self.change(who, self.clock.now(), KeyChange::Delete(key.clone(), confirm_name.to_owned())).await
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
        let mut list = self.change(who, now, KeyChange::Rotate(key.clone(), new)).await?;
        // The new secret was unknown until now: all uses up to this moment were of the previous secret.
        list.now = self.clock.now();
        list.new = Some(NewSecret { id: key.clone(), secret: secret.reveal().to_owned() });
        Ok(list)
    }

    async fn retire(&self, who: &SignedIn, key: &KeyId) -> Result<KeyList, ConsoleError> {
        self.change(who, self.clock.now(), KeyChange::Retire(key.clone())).await
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
    async fn change(
        &self,
        who: &SignedIn,
        now: Timestamp,
        mut key_change: KeyChange,
    ) -> Result<KeyList, ConsoleError> {
        self.change_limiter.count(&who.account).await?;
        let (keys, who) = (self.clone(), who.clone());
        spawn_transaction(async move {
            let account = &who.account;
            let mut change = keys.key_cache.begin(account).await?;
            require_session(&mut change.tx, &who, now).await?;
            let key = key_change.key().clone();
            let tx = &mut change.tx;
            let result = match key_change.details_before(tx, account).await {
                Ok(before) => key_change
                    .apply(tx, account, &before, &keys.policy, now)
                    .await
                    .map(|()| (key_change.activity(&before), before)),
                Err(error) => Err(error),
            };
            let (activity, KeyDetails { owner, mecha, name, .. }) = match result {
                Ok(applied) => applied,
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
            for (what, became) in &activity {
                let entry = NewActivity {
                    account,
                    at: now,
                    what: *what,
                    key: (key.as_str(), &name),
                    mecha: (owner.mecha().map_or("", MechaId::as_str), &mecha),
                    became,
                    client: &who.client,
                };
                activity::insert(&mut change.tx, &entry).await?;
            }
            let rows = api_keys::list(&mut *change.tx, account, &owner, now).await?;
            change.commit().await?;
            for (what, _) in activity {
                tracing::info!(key = key.as_str(), account = account.0, "{}", what.name());
            }
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
        let limit = self.policy.limit_of(&owner);
        KeyList { now, owner, keys, limit, new: None }
    }
}

/// A change of one key.
#[derive(Debug)]
enum KeyChange {
    Create(NewApiKey),
    Rename(KeyId, KeyName),
    Edit(KeyId, KeyEdit),
    /// As the owner chose it, and when that is.
    Refresh(KeyId, Expiry, Option<Timestamp>),
    SetActive(KeyId, bool),
    Rotate(KeyId, NewSecretRow),
    Retire(KeyId),
    Delete(KeyId, String),
}

impl KeyChange {
    fn key(&self) -> &KeyId {
        match self {
            Self::Create(new) => &new.id,
            Self::Rename(key, _)
            | Self::Edit(key, _)
            | Self::Refresh(key, ..)
            | Self::SetActive(key, _)
            | Self::Rotate(key, _)
            | Self::Retire(key)
            | Self::Delete(key, _) => key,
        }
    }

    /// The kinds of the activity, each with the new value that the activity log shows.
    fn activity(&self, before: &KeyDetails) -> Vec<(ActivityKind, String)> {
        let moment = |at: Option<Timestamp>| at.map(|at| at.0.to_string()).unwrap_or_default();
        let access = |access: &Access| (ActivityKind::KeyAccessChanged, access.to_text().unwrap_or_default());
        let one = |what, became| vec![(what, became)];
        match self {
            Self::Create(new) => {
                let mut activity = one(ActivityKind::KeyCreated, moment(new.expires_at));
                activity.extend((new.access != Access::Everything).then(|| access(&new.access)));
                activity
            }
            Self::Rename(_, name) => one(ActivityKind::KeyRenamed, name.as_str().to_owned()),
            Self::Edit(_, edit) => {
                let name = edit.name.as_str();
                let renamed = (name != before.name).then(|| (ActivityKind::KeyRenamed, name.to_owned()));
                let described = (edit.description.as_str() != before.description)
                    .then(|| (ActivityKind::KeyDescribed, String::new()));
                let access = (edit.access != before.access).then(|| access(&edit.access));
                [renamed, described, access].into_iter().flatten().collect()
            }
            Self::Refresh(_, _, until) => one(ActivityKind::KeyRefreshed, moment(*until)),
            Self::SetActive(_, true) => one(ActivityKind::KeySwitchedOn, String::new()),
            Self::SetActive(_, false) => one(ActivityKind::KeySwitchedOff, String::new()),
            Self::Rotate(_, new) => one(ActivityKind::KeyRotated, new.grace.value().to_owned()),
            Self::Retire(_) => one(ActivityKind::PreviousSecretRetired, String::new()),
            Self::Delete(..) => one(ActivityKind::KeyDeleted, String::new()),
        }
    }

    /// The details of the key before the change. Those of a new key are the ones that it will have.
    ///
    /// # Errors
    /// There is no such key, or no such Mecha for a new one.
    async fn details_before(&self, tx: &mut Tx, account: &AccountId) -> Result<KeyDetails, ConsoleError> {
        let Self::Create(new) = self else {
            return api_keys::details(tx, account, self.key()).await?.ok_or(ConsoleError::NotFound);
        };
        let mecha = match new.owner.mecha() {
            None => String::new(),
            Some(mecha) => mechas::name(tx, account, mecha).await?.ok_or(ConsoleError::MechaNotFound)?,
        };
        Ok(KeyDetails {
            owner: new.owner.clone(),
            mecha,
            name: new.name.as_str().to_owned(),
            description: new.description.as_str().to_owned(),
            access: new.access.clone(),
        })
    }

    /// Applies the change. Afterwards, the scopes of an edit are in display order.
    async fn apply(
        &mut self,
        tx: &mut Tx,
        account: &AccountId,
        before: &KeyDetails,
        policy: &KeyPolicy,
        now: Timestamp,
    ) -> Result<(), ConsoleError> {
        if let Self::Rotate(_, new) = self
            && !Grace::of(&before.owner).0.contains(&new.grace)
        {
            return Err(ConsoleError::field(Field::Grace, FieldError::NotOnOffer));
        }
        let change = match self {
            Self::Create(new) => api_keys::insert(tx, account, new, policy.limit_of(&new.owner), now).await?,
            Self::Rename(key, name) => api_keys::rename(tx, account, key, name).await?,
            Self::Edit(key, KeyEdit { name, description, access, shown_access }) => {
                if !shown_access.is_empty() && *shown_access != before.access.shown() {
                    return Err(ConsoleError::field(Field::Scopes, FieldError::Changed));
                }
                *access = policy
                    .check_access(access, &before.access)
                    .map_err(|problem| ConsoleError::field(Field::Scopes, problem))?;
                match api_keys::rename(tx, account, key, name).await? {
                    Change::Done => {
                        api_keys::set_description_and_access(tx, account, key, description, access).await?
                    }
                    problem => problem,
                }
            }
            Self::Refresh(key, _, until) => api_keys::refresh(tx, account, key, *until, now).await?,
            Self::SetActive(key, active) => api_keys::set_active(tx, account, key, *active, now).await?,
            Self::Rotate(key, new) => api_keys::rotate(tx, account, key, new, now).await?,
            Self::Retire(key) => api_keys::retire(tx, account, key, now).await?,
            Self::Delete(key, typed) => {
                api_keys::delete(tx, account, key, |name| KeyName::is_reentered(name, typed)).await?
            }
        };
        match change {
            Change::Done => Ok(()),
            Change::NotFound => Err(ConsoleError::NotFound),
            Change::Taken => Err(ConsoleError::field(Field::Name, FieldError::Taken)),
            Change::LimitReached => Err(ConsoleError::LimitReached { limit: policy.limit_of(&before.owner) }),
            Change::Expired => Err(ConsoleError::KeyExpired),
            Change::NotLater => {
                let is_date = matches!(self, Self::Refresh(_, Expiry::On(_), _));
                let field = if is_date { Field::ExpiresOn } else { Field::ExpireIn };
                Err(ConsoleError::field(field, FieldError::NotLater))
            }
            Change::Rotating => Err(ConsoleError::Rotating),
            Change::DoesNotMatch => Err(ConsoleError::field(Field::ConfirmName, FieldError::DoesNotMatch)),
        }
    }
}
