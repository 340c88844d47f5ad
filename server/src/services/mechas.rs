//! Use cases of Mechas.

use crate::clock::Clock;
use crate::ids::new_id;
use crate::key_cache::cache::KeyCache;
use crate::random::system_rng;
use crate::runtimes::Runtimes;
use crate::services::accounts::require_session;
use crate::services::rate_limit::ChangeLimiter;
use crate::store::activity::{self, NewActivity};
use crate::store::api_keys::Change;
use crate::store::runtimes::{self, CommandState, CommandTarget};
use crate::store::{Store, StoreError, Tx, lock_account, mechas, spawn_transaction};
use app::backend::{MechaBackend, SignedIn};
use app::domain::account::AccountId;
use app::domain::activity::ActivityKind;
use app::domain::description::Description;
use app::domain::field_error::{Field, FieldError};
use app::domain::key_name::KeyName;
use app::domain::mecha::{Mecha, MechaId};
use app::domain::runtime::{MechaList, MechaRuntimes, MechaState, RuntimeCommand, RuntimeId};
use app::domain::timestamp::Timestamp;
use app::error::ConsoleError;
use async_trait::async_trait;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a command for a runtime may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval at which a command is checked for its execution.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Creates, changes and deletes Mechas.
#[derive(Clone, Debug)]
pub struct Mechas {
    /// The database.
    pub store: Store,
    /// Source of the current time.
    pub clock: Clock,
    /// The key cache. A change of a Mecha may change the entries of its keys.
    pub key_cache: KeyCache,
    /// Limits changes per account.
    pub change_limiter: ChangeLimiter,
    /// Maximum number of Mechas per account.
    pub limit: u32,
    /// The runtimes that are connected to this node.
    pub runtimes: Runtimes,
}

#[async_trait]
impl MechaBackend for Mechas {
    async fn list(&self, account: &AccountId) -> Result<MechaList, ConsoleError> {
        let now = self.clock.now();
        let mechas = self.store.mechas(account, now).await?;
        let mut runtimes = self.runtimes.of_account(account, None).await?;
        let with_state = |mecha: Mecha| {
            let state = MechaState::of(&mecha, &runtimes.remove(&mecha.id).unwrap_or_default());
            (mecha, state)
        };
        Ok(MechaList { now, mechas: mechas.into_iter().map(with_state).collect(), limit: self.limit })
    }

    async fn find(&self, account: &AccountId, mecha: &MechaId) -> Result<Option<Mecha>, ConsoleError> {
        Ok(self.store.mecha(account, mecha, self.clock.now()).await?)
    }

    async fn create(
        &self,
        who: &SignedIn,
        name: KeyName,
        description: Description,
    ) -> Result<MechaId, ConsoleError> {
        let id = new_id(self.clock.now().0, &mut system_rng());
        let id = MechaId::parse(&id).ok_or(ConsoleError::Internal)?;
        self.change(who, &id, Edit::Create(name, description)).await?;
        Ok(id)
    }

    async fn describe(
        &self,
        who: &SignedIn,
        mecha: &MechaId,
        name: KeyName,
        description: Description,
    ) -> Result<(), ConsoleError> {
        self.change(who, mecha, Edit::Describe(name, description)).await
    }

    async fn set_active(&self, who: &SignedIn, mecha: &MechaId, active: bool) -> Result<(), ConsoleError> {
        self.change(who, mecha, Edit::SetActive(active)).await
    }

    async fn delete(&self, who: &SignedIn, mecha: &MechaId, confirm_name: &str) -> Result<(), ConsoleError> {
        self.change(who, mecha, Edit::Delete(confirm_name.to_owned())).await
    }

    async fn runtimes(&self, account: &AccountId, mecha: &MechaId) -> Result<MechaRuntimes, ConsoleError> {
        let mut runtimes = self.runtimes.of_account(account, Some(mecha)).await?;
        Ok(runtimes.remove(mecha).unwrap_or_default())
    }

    async fn command(
        &self,
        who: &SignedIn,
        runtime: &RuntimeId,
        command: RuntimeCommand,
    ) -> Result<MechaId, ConsoleError> {
        self.change_limiter.count(&who.account).await?;
        let now = self.clock.now();
        let id = new_id(now.0, &mut system_rng());
        let target = self.insert_command(who, runtime, (&id, command), now).await?;
        self.runtimes.publish_command(&target.node);
        let deadline = Instant::now() + COMMAND_TIMEOUT;
        loop {
            match self.store.command_state(&id, command).await? {
                CommandState::Done => break,
                CommandState::Ended => return Err(ConsoleError::RuntimeNotFound),
                CommandState::Pending if Instant::now() < deadline => sleep(POLL_INTERVAL).await,
                CommandState::Pending => {
                    self.store.finish_command(&id).await?;
                    return Err(ConsoleError::RuntimeSilent);
                }
            }
        }
        MechaId::parse(&target.mecha_id).ok_or(ConsoleError::Internal)
    }
}

impl Mechas {
    /// Applies a change. When this returns, every node denies the keys that the change affects.
    async fn change(&self, who: &SignedIn, mecha: &MechaId, edit: Edit) -> Result<(), ConsoleError> {
        self.change_limiter.count(&who.account).await?;
        let (service, who, mecha) = (self.clone(), who.clone(), mecha.clone());
        let now = self.clock.now();
        spawn_transaction(async move {
            let account = &who.account;
            let mut change = service.key_cache.begin(account).await?;
            require_session(&mut change.tx, &who, now).await?;
            let (what, became) = edit.activity();
            let name = match &edit {
                Edit::Create(name, _) => Some(name.as_str().to_owned()),
                _ => mechas::name(&mut change.tx, account, &mecha).await?,
            };
            if let Err(error) = edit.apply(&mut change.tx, account, &mecha, service.limit, now).await {
                if error == ConsoleError::MechaNotFound {
                    // The Mecha may just have been deleted. Respond only when every node has applied that.
                    drop(change);
                    service.key_cache.wait_for_nodes().await;
                }
                return Err(error);
            }
            let entry = NewActivity {
                account,
                at: now,
                what,
                key: ("", ""),
                mecha: (mecha.as_str(), &name.unwrap_or_default()),
                became: &became,
                client: &who.client,
            };
            activity::insert(&mut change.tx, &entry).await?;
            change.commit().await?;
            tracing::info!(mecha = mecha.as_str(), account = account.0, "{}", what.name());
            Ok(())
        })
        .await
    }
}

impl Mechas {
    async fn insert_command(
        &self,
        who: &SignedIn,
        runtime: &RuntimeId,
        (id, command): (&str, RuntimeCommand),
        now: Timestamp,
    ) -> Result<CommandTarget, ConsoleError> {
        let (store, who, runtime, id) = (self.store.clone(), who.clone(), runtime.clone(), id.to_owned());
        spawn_transaction(async move {
            let mut tx = store.begin().await?;
            lock_account(&mut tx, &who.account).await?;
            require_session(&mut tx, &who, now).await?;
            let target = runtimes::command(&mut tx, &who.account, &runtime, (&id, command), now).await?;
            let target = target.ok_or(ConsoleError::RuntimeNotFound)?;
            let what = match command {
                RuntimeCommand::Test => None,
                RuntimeCommand::Drain => Some(ActivityKind::RuntimeDrained),
                RuntimeCommand::Disconnect => Some(ActivityKind::RuntimeDisconnected),
            };
            if let Some(what) = what {
                let entry = NewActivity {
                    account: &who.account,
                    at: now,
                    what,
                    key: ("", ""),
                    mecha: (&target.mecha_id, &target.mecha_name),
                    became: &target.host,
                    client: &who.client,
                };
                activity::insert(&mut tx, &entry).await?;
            }
            tx.commit().await.map_err(StoreError::from)?;
            Ok(target)
        })
        .await
    }
}

/// A change of one Mecha.
#[derive(Debug)]
enum Edit {
    Create(KeyName, Description),
    Describe(KeyName, Description),
    SetActive(bool),
    Delete(String),
}

impl Edit {
    /// The kind of the activity, and the new value that the activity log shows.
    fn activity(&self) -> (ActivityKind, String) {
        match self {
            Self::Create(..) => (ActivityKind::MechaCreated, String::new()),
            Self::Describe(name, _) => (ActivityKind::MechaChanged, name.as_str().to_owned()),
            Self::SetActive(true) => (ActivityKind::MechaSwitchedOn, String::new()),
            Self::SetActive(false) => (ActivityKind::MechaSwitchedOff, String::new()),
            Self::Delete(_) => (ActivityKind::MechaDeleted, String::new()),
        }
    }

    async fn apply(
        self,
        tx: &mut Tx,
        account: &AccountId,
        mecha: &MechaId,
        limit: u32,
        now: Timestamp,
    ) -> Result<(), ConsoleError> {
        let change = match self {
            Self::Create(name, description) => {
                mechas::insert(tx, account, (mecha, &name, &description), limit, now).await?
            }
            Self::Describe(name, description) => {
                mechas::describe(tx, account, mecha, &name, &description).await?
            }
            Self::SetActive(active) => mechas::set_active(tx, account, mecha, active).await?,
            Self::Delete(typed) => {
                mechas::delete(tx, account, mecha, |name| KeyName::is_reentered(name, &typed)).await?
            }
        };
        match change {
            Change::Done => Ok(()),
            Change::NotFound => Err(ConsoleError::MechaNotFound),
            Change::Taken => Err(ConsoleError::field(Field::MechaName, FieldError::Taken)),
            Change::DoesNotMatch => Err(ConsoleError::field(Field::ConfirmName, FieldError::DoesNotMatch)),
            Change::LimitReached => Err(ConsoleError::MechaLimitReached),
            Change::Expired | Change::NotLater | Change::Rotating => Err(ConsoleError::Internal),
        }
    }
}
