//! The server as the pages see it: [`Backend`] for the use cases of this crate.

use crate::accounts::{Accounts, new_id};
use crate::clock::Clock;
use crate::config::{Origin, ServeOptions, SignUps, all_cores_but_one};
use crate::http::api;
use crate::http::client::Client;
use crate::key_prefixes::{self, PrefixError};
use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::passwords::Passwords;
use crate::retention::Retention;
use crate::secret::Prefixes;
use crate::sessions::{self, Authenticated, DatabaseSessions};
use crate::store::{AccountRow, Store, StoreError};
use crate::throttle::{Changes, Refusals, Shared, Throttle};
use crate::verification::Verifier;
use app::backend::{AccountPage, Backend, Operation, Result, SessionView, SignedIn};
use app::domain::account::{AccountId, Email, Password};
use app::domain::activity::{ActivityPage, What};
use app::domain::api_key::{KeyId, KeyList};
use app::domain::description::Description;
use app::domain::expiry::Period;
use app::domain::key_name::KeyName;
use app::domain::rotation::Grace;
use app::domain::timestamp::Timestamp;
use app::domain::traffic::Traffic;
use app::error::{ConsoleError, Refusal};
use async_trait::async_trait;
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Everything that a request may need.
#[derive(Clone, Debug)]
pub struct Console {
    /// Accounts.
    pub accounts: Accounts,
    /// API keys.
    pub keys: Keys,
    /// Counts requests of programs that were refused.
    pub refusals: Refusals,
    /// Sessions.
    pub sessions: DatabaseSessions,
    /// What the operator's monitoring sees.
    pub metrics: Metrics,
    /// Told to stop: load balancers are to send their requests elsewhere.
    pub leaving: CancellationToken,
    /// Ends what would go on for long, when the server stops.
    pub stopping: CancellationToken,
    /// Deletes what has been kept for long enough.
    pub retention: Retention,
    /// The address by which browsers reach the console, if the operator has said it.
    pub public_url: Option<Origin>,
    /// Whether browsers reach the console by names of this machine alone: it listens there, and has no other address.
    pub accepts_local_hosts_only: bool,
}

/// Why a console cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The prefixes of secrets would reject existing keys.
    #[error(transparent)]
    Prefixes(#[from] PrefixError),
    /// The database does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Passwords cannot be hashed on this machine.
    #[error("{}", Refusal::from(.0.clone()).detail)]
    Passwords(ConsoleError),
}

/// The operating system's generator. Where it fails there is no way to go on safely.
pub fn system_rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

impl Console {
    /// A console on this database, whose secrets it takes into memory.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub async fn open(
        store: Store,
        clock: Clock,
        options: &ServeOptions,
    ) -> std::result::Result<Self, OpenError> {
        let prefixes =
            Prefixes { current: options.key_prefix.clone(), previous: options.previous_key_prefixes.clone() };
        key_prefixes::check(&store, &prefixes, clock.now()).await?;
        let accounts = accounts(store.clone(), clock.clone(), options).map_err(OpenError::Passwords)?;
        let node = new_id(clock.now().0, &mut system_rng());
        let verifier = Verifier::open(store.clone(), clock.clone(), prefixes, node).await?;
        let keys = Keys { verifier, changes: Changes::new(options.changes_per_minute, Shared::of(&store)) };
        let sessions = DatabaseSessions { store: store.clone(), clock: clock.clone() };
        Ok(Self {
            accounts,
            retention: Retention::new(store, clock, keys.clone(), sessions.clone()),
            keys,
            refusals: Refusals::per_minute(options.refusals_per_minute),
            sessions,
            metrics: Metrics::default(),
            leaving: CancellationToken::new(),
            stopping: CancellationToken::new(),
            public_url: options.public_url.clone(),
            accepts_local_hosts_only: options.public_url.is_none() && options.listen.ip().is_loopback(),
        })
    }
}

/// Accounts of this database.
///
/// # Errors
/// Passwords cannot be hashed on this machine.
pub fn accounts(store: Store, clock: Clock, options: &ServeOptions) -> Result<Accounts> {
    // One core is left for requests.
    let permits = options.password_hashes.map_or_else(all_cores_but_one, usize::from);
    Ok(Accounts {
        throttle: Throttle::new(Shared::of(&store)),
        store,
        clock,
        passwords: Passwords::new(permits, &mut system_rng())?,
        is_open: options.sign_ups == SignUps::Open,
        background: TaskTracker::new(),
    })
}

impl Console {
    /// The address by which a request reaches the console: the one that the operator has said, or the one that
    /// the request itself names.
    #[must_use]
    pub fn origin_of(&self, extensions: &Extensions, headers: &HeaderMap) -> Origin {
        if let Some(origin) = &self.public_url {
            return origin.clone();
        }
        let is_https = extensions.get::<Client>().is_some_and(|client| client.is_https);
        let host = headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
        Origin { is_https, authority: host.to_owned() }
    }

    async fn row_of(&self, who: &SignedIn) -> Result<AccountRow> {
        self.accounts.store.account(&who.account).await?.ok_or(ConsoleError::SignedOut)
    }
}

#[async_trait]
impl Backend for Console {
    async fn signed_in(&self, request: &Parts) -> Result<Option<SignedIn>> {
        sessions::signed_in(&request.extensions).await
    }

    fn operations(&self) -> Vec<Operation> {
        api::operations()
    }

    async fn is_sign_up_open(&self) -> Result<bool> {
        self.accounts.is_sign_up_open().await
    }

    fn origin(&self, request: &Parts) -> String {
        self.origin_of(&request.extensions, &request.headers).to_string()
    }

    fn is_unencrypted(&self, request: &Parts) -> bool {
        !self.origin_of(&request.extensions, &request.headers).is_secure_context()
    }

    async fn sign_up(&self, request: &Parts, email: Email, password: Password) -> Result<()> {
        let account = self
            .accounts
            .sign_up(email, password, Client::address_of(&request.extensions), &mut system_rng())
            .await?;
        sessions::begin(request, &Authenticated { account, password_version: 0 }).await
    }

    async fn sign_in(&self, request: &Parts, email: Email, password: Password) -> Result<()> {
        let authenticated =
            self.accounts.authenticate(&email, &password, Client::address_of(&request.extensions)).await?;
        sessions::begin(request, &authenticated).await
    }

    async fn sign_out(&self, request: &Parts) -> Result<()> {
        if let Some(who) = self.signed_in(request).await? {
            self.accounts.note(&who.account, What::SignedOut, &who.address).await?;
        }
        sessions::end(sessions::of(&request.extensions)?).await
    }

    async fn account(&self, request: &Parts, who: &SignedIn) -> Result<AccountPage> {
        let current = sessions::of(&request.extensions)?.id().map(|id| sessions::hash(&id));
        let sessions = self.sessions.of_account(&who.account).await?;
        let list = self.keys.list(&who.account).await?;
        let sessions = sessions.into_iter().map(|row| SessionView {
            created_at: Timestamp(row.created_at),
            last_seen_at: Timestamp(row.last_seen_at),
            address: row.address,
            agent: row.agent,
            is_current: current.as_ref() == Some(&row.id_hash),
        });
        Ok(AccountPage { sessions: sessions.collect(), keys: list.keys.len(), now: list.now })
    }

    async fn change_password(
        &self,
        request: &Parts,
        who: &SignedIn,
        current: Password,
        new: Password,
    ) -> Result<()> {
        let row = self.row_of(who).await?;
        let client = Client::address_of(&request.extensions);
        self.accounts.set_password(&row, Some((who, current, client)), new, &mut system_rng()).await?;
        // The session that asked has ended with the others, and goes on under another id (OWASP ASVS 5.0, 7.2.4).
        let password_version = row.password_version + 1;
        sessions::begin(request, &Authenticated { account: who.account.clone(), password_version }).await
    }

    async fn sign_out_everywhere(&self, request: &Parts, who: &SignedIn) -> Result<()> {
        self.accounts.sign_out_everywhere(who).await?;
        sessions::end(sessions::of(&request.extensions)?).await
    }

    async fn delete_account(&self, request: &Parts, who: &SignedIn, password: Password) -> Result<()> {
        let row = self.row_of(who).await?;
        let client = Client::address_of(&request.extensions);
        self.accounts.delete(&self.keys.verifier.secrets, who, &row, &password, client).await?;
        sessions::end(sessions::of(&request.extensions)?).await
    }

    async fn activity(&self, account: &AccountId, before: Option<i64>) -> Result<ActivityPage> {
        Ok(self.accounts.store.activity(account, before).await?)
    }

    async fn keys(&self, account: &AccountId) -> Result<KeyList> {
        self.keys.list(account).await
    }

    async fn create_key(
        &self,
        who: &SignedIn,
        name: KeyName,
        period: Period,
        description: Description,
    ) -> Result<KeyList> {
        self.keys.create(who, name, period, description, &mut system_rng()).await
    }

    async fn rename_key(&self, who: &SignedIn, key: &KeyId, name: KeyName) -> Result<KeyList> {
        self.keys.rename(who, key, name).await
    }

    async fn refresh_key(&self, who: &SignedIn, key: &KeyId, period: Period) -> Result<KeyList> {
        self.keys.refresh(who, key, period).await
    }

    async fn set_key_active(&self, who: &SignedIn, key: &KeyId, active: bool) -> Result<KeyList> {
        self.keys.set_active(who, key, active).await
    }

    async fn rotate_key(&self, who: &SignedIn, key: &KeyId, grace: Grace) -> Result<KeyList> {
        self.keys.rotate(who, key, grace, &mut system_rng()).await
    }

    async fn retire_key(&self, who: &SignedIn, key: &KeyId) -> Result<KeyList> {
        self.keys.retire(who, key).await
    }

    async fn traffic(&self, account: &AccountId, key: &KeyId) -> Result<Traffic> {
        self.keys.traffic(account, key).await
    }

    async fn delete_key(&self, who: &SignedIn, key: &KeyId, confirm_name: &str) -> Result<KeyList> {
        self.keys.delete(who, key, confirm_name).await
    }
}
