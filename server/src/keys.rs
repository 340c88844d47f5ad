//! Use cases of API keys: their owner's.

use crate::accounts::{new_id, require_session};
use crate::secret::PlainSecret;
use crate::store::activity::{self, NewActivity};
use crate::store::api_keys::{self, Change, NewApiKey, NewSecretRow};
use crate::store::{Store, StoreError, Tx, detached, patient, traffic};
use crate::throttle::Changes;
use crate::verification::{Verifier, parse_id};
use app::backend::SignedIn;
use app::domain::account::AccountId;
use app::domain::activity::{ACTIVITY_KEPT_FOR, What};
use app::domain::api_key::{ApiKey, EXPIRED_KEPT_FOR, KeyId, KeyList, NewSecret};
use app::domain::description::Description;
use app::domain::expiry::Period;
use app::domain::key_name::KeyName;
use app::domain::rotation::Grace;
use app::domain::timestamp::{SECOND, Timestamp};
use app::domain::traffic::{TRAFFIC_KEPT_FOR, Traffic};
use app::error::{ConsoleError, Field, Problem};
use rand::CryptoRng;

/// Makes and governs keys.
#[derive(Clone, Debug)]
pub struct Keys {
    /// Lets programs in with them.
    pub verifier: Verifier,
    /// Counts changes.
    pub changes: Changes,
}

impl Keys {
    /// All keys of an account.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn list(&self, account: &AccountId) -> Result<KeyList, ConsoleError> {
        let now = self.now();
        Ok(self.listed(now, self.store().keys(account, now).await?))
    }

    /// Makes a key.
    ///
    /// # Errors
    /// A name that is taken, or the limit of keys.
    pub async fn create(
        &self,
        who: &SignedIn,
        name: KeyName,
        period: Period,
        description: Description,
        rng: &mut impl CryptoRng,
    ) -> Result<KeyList, ConsoleError> {
        let now = self.now();
        let prefix = &self.verifier.prefixes.current;
        let secret = PlainSecret::generate(prefix, rng);
        let id = KeyId::parse(&new_id(now.0, rng)).ok_or(ConsoleError::Internal)?;
        let new = NewApiKey {
            id: id.clone(),
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

    /// Gives a key another name.
    ///
    /// # Errors
    /// A name that is taken, or no such key.
    pub async fn rename(&self, who: &SignedIn, key: &KeyId, name: KeyName) -> Result<KeyList, ConsoleError> {
        self.change(who, self.now(), Edit::Rename(key.clone(), name)).await
    }

    /// Moves the expiry of a key later, counted from now.
    ///
    /// # Errors
    /// A period that ends too early, an expired key, or no such key.
    pub async fn refresh(
        &self,
        who: &SignedIn,
        key: &KeyId,
        period: Period,
    ) -> Result<KeyList, ConsoleError> {
        let now = self.now();
        self.change(who, now, Edit::Refresh(key.clone(), period.expires_at(now))).await
    }

    /// Switches a key on or off.
    ///
    /// # Errors
    /// An expired key, or no such key.
    pub async fn set_active(
        &self,
        who: &SignedIn,
        key: &KeyId,
        active: bool,
    ) -> Result<KeyList, ConsoleError> {
        self.change(who, self.now(), Edit::SetActive(key.clone(), active)).await
    }

    /// Deletes a key for ever, if `confirm_name` is its name.
    ///
    /// # Errors
    /// Another name, or no such key.
    pub async fn delete(
        &self,
        who: &SignedIn,
        key: &KeyId,
        confirm_name: &str,
    ) -> Result<KeyList, ConsoleError> {
        self.change(who, self.now(), Edit::Delete(key.clone(), confirm_name.to_owned())).await
    }

    /// Gives a key another secret; for the grace time the old one works too.
    ///
    /// # Errors
    /// A rotation that has not ended yet, an expired key, or no such key.
    pub async fn rotate(
        &self,
        who: &SignedIn,
        key: &KeyId,
        grace: Grace,
        rng: &mut impl CryptoRng,
    ) -> Result<KeyList, ConsoleError> {
        let now = self.now();
        let prefix = &self.verifier.prefixes.current;
        let secret = PlainSecret::generate(prefix, rng);
        let new = NewSecretRow {
            digest: secret.digest(),
            last_four: secret.last_four().to_owned(),
            prefix: prefix.to_string(),
            grace,
        };
        let mut list = self.change(who, now, Edit::Rotate(key.clone(), new)).await?;
        // Before now nobody had the new secret: earlier uses were of the old one.
        list.now = self.now();
        list.new = Some(NewSecret { id: key.clone(), secret: secret.reveal().to_owned() });
        Ok(list)
    }

    /// Ends the grace of an old secret at once.
    ///
    /// # Errors
    /// No such key.
    pub async fn retire(&self, who: &SignedIn, key: &KeyId) -> Result<KeyList, ConsoleError> {
        self.change(who, self.now(), Edit::Retire(key.clone())).await
    }

    /// Makes one change and reads the list, in one transaction: what is answered is what was committed, and
    /// no error after a commit can lose a secret.
    async fn change(&self, who: &SignedIn, now: Timestamp, edit: Edit) -> Result<KeyList, ConsoleError> {
        self.changes.count(&who.account).await?;
        let (keys, who) = (self.clone(), who.clone());
        detached(async move {
            let account = &who.account;
            let mut change = keys.verifier.secrets.begin(account).await?;
            require_session(&mut change.tx, &who, now).await?;
            let (what, became) = edit.activity();
            let key = edit.key().clone();
            let name = match &edit {
                Edit::Create(new) => Some(new.name.as_str().to_owned()),
                _ => api_keys::name(&mut change.tx, account, &key).await?,
            };
            if let Err(refused) = edit.apply(&mut change.tx, account, now).await {
                if refused == ConsoleError::NotFound {
                    drop(change);
                    keys.verifier.secrets.settle().await;
                }
                return Err(refused);
            }
            let done = NewActivity {
                account,
                at: now,
                what,
                key: (key.as_str(), &name.unwrap_or_default()),
                became: &became,
                address: &who.address,
            };
            activity::insert(&mut change.tx, &done).await?;
            let rows = api_keys::list(&mut *change.tx, account, now).await?;
            change.commit().await?;
            tracing::info!(key = key.as_str(), account = account.0, "{}", what.name());
            Ok(keys.listed(now, rows))
        })
        .await
    }

    /// Who used a key lately, and who was refused with it.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn traffic(&self, account: &AccountId, key: &KeyId) -> Result<Traffic, ConsoleError> {
        let now = self.now();
        let keys = self.store().keys(account, now).await?;
        if !keys.iter().any(|listed| listed.id == *key) {
            return Err(ConsoleError::NotFound);
        }
        let mut traffic = self.store().traffic(account, key, now.plus(-TRAFFIC_KEPT_FOR)).await?;
        if let Some(id) = parse_id(key.as_str()) {
            self.verifier.traffic.add_to(&mut traffic, &id);
        }
        Ok(traffic)
    }

    /// Clears away keys that expired long ago, and what was long ago.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let now = self.now();
        self.verifier.secrets.clear_ended(now.plus(-EXPIRED_KEPT_FOR)).await?;
        let store = self.store().clone();
        detached(async move {
            let mut tx = store.begin().await?;
            patient(&mut tx).await?;
            traffic::forget(&mut tx, now.plus(-TRAFFIC_KEPT_FOR)).await?;
            // The database counts in whole seconds.
            activity::forget(&mut tx, now.plus(-ACTIVITY_KEPT_FOR - SECOND)).await?;
            Ok(tx.commit().await?)
        })
        .await
    }

    /// Writes down who used keys since the last time.
    ///
    /// # Errors
    /// The database does not answer; the next time will write it.
    pub async fn write_down_traffic(&self) -> Result<(), StoreError> {
        self.verifier.traffic.write_down(self.store()).await
    }

    fn store(&self) -> &Store {
        &self.verifier.secrets.store
    }

    fn now(&self) -> Timestamp {
        self.verifier.clock.now()
    }

    /// What was used since the list was last written down is known in memory.
    fn listed(&self, now: Timestamp, mut keys: Vec<ApiKey>) -> KeyList {
        for key in &mut keys {
            let last_use = parse_id(key.id.as_str()).and_then(|id| self.verifier.traffic.last_use(&id));
            if let Some((at, program)) =
                last_use.filter(|(at, _)| key.last_used_at.is_none_or(|known| known <= *at))
            {
                key.last_used_at = Some(at);
                key.last_used_from = Some(program.to_string());
            }
        }
        KeyList { now, keys, new: None }
    }
}

/// One change of an account's keys.
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

    /// What it is to its owner, and what the key becomes.
    fn activity(&self) -> (What, String) {
        let moment = |at: Option<Timestamp>| at.map(|at| at.0.to_string()).unwrap_or_default();
        match self {
            Self::Create(new) => (What::KeyMade, moment(new.expires_at)),
            Self::Rename(_, name) => (What::KeyRenamed, name.as_str().to_owned()),
            Self::Refresh(_, until) => (What::KeyRefreshed, moment(*until)),
            Self::SetActive(_, true) => (What::KeySwitchedOn, String::new()),
            Self::SetActive(_, false) => (What::KeySwitchedOff, String::new()),
            Self::Rotate(_, new) => (What::KeyRotated, new.grace.value().to_owned()),
            Self::Retire(_) => (What::OldSecretRetired, String::new()),
            Self::Delete(..) => (What::KeyDeleted, String::new()),
        }
    }

    async fn apply(self, tx: &mut Tx, account: &AccountId, now: Timestamp) -> Result<(), ConsoleError> {
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
            Change::Taken => Err(ConsoleError::field(Field::Name, Problem::Taken)),
            Change::LimitReached => Err(ConsoleError::LimitReached),
            Change::Expired => Err(ConsoleError::KeyExpired),
            Change::NotLater => Err(ConsoleError::field(Field::ExpireIn, Problem::NotLater)),
            Change::Rotating => Err(ConsoleError::Rotating),
            Change::DoesNotMatch => Err(ConsoleError::field(Field::ConfirmName, Problem::DoesNotMatch)),
        }
    }
}
