//! The server as the pages see it: [`Backend`] for the use cases of this crate.

use crate::accounts::Accounts;
use crate::clock::Clock;
use crate::config::{Origin, ServeOptions, SignUps};
use crate::http::client::Client;
use crate::keys::Keys;
use crate::passwords::Passwords;
use crate::sessions::{self, DatabaseSessions};
use crate::store::Store;
use crate::throttle::Throttle;
use app::backend::{Backend, Result, SignedIn};
use app::domain::account::{AccountId, Email, Password};
use app::domain::api_key::{KeyId, KeyList};
use app::domain::description::Description;
use app::domain::expiry::Period;
use app::domain::key_name::KeyName;
use app::error::ConsoleError;
use async_trait::async_trait;
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use rand::rand_core::UnwrapErr;
use rand::rngs::SysRng;
use std::sync::Arc;
use tower_sessions::Session;

/// Everything that a request may need.
#[derive(Clone, Debug)]
pub struct Console {
    /// Accounts.
    pub accounts: Accounts,
    /// API keys.
    pub keys: Keys,
    /// Sessions.
    pub sessions: DatabaseSessions,
    /// The address by which browsers reach the console, if the operator has said it.
    pub public_url: Option<Origin>,
}

/// The operating system's generator. Where it fails there is no way to go on safely.
fn system_rng() -> UnwrapErr<SysRng> {
    UnwrapErr(SysRng)
}

impl Console {
    /// A console on this database.
    ///
    /// # Errors
    /// Passwords cannot be hashed on this machine.
    pub fn new(store: Store, clock: Clock, options: &ServeOptions) -> Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let permits = options.password_hashes.map_or(cores, usize::from);
        Ok(Self {
            accounts: Accounts {
                store: store.clone(),
                clock: clock.clone(),
                passwords: Passwords::new(permits, &mut system_rng())?,
                throttle: Throttle::default(),
                is_open: options.sign_ups == SignUps::Open,
            },
            keys: Keys {
                store: store.clone(),
                clock: clock.clone(),
                prefix: options.key_prefix.clone(),
                noting: Arc::default(),
            },
            sessions: DatabaseSessions { store, clock },
            public_url: options.public_url.clone(),
        })
    }

    /// Makes an account from the command line.
    ///
    /// # Errors
    /// A guessable password, or an address that is taken.
    pub async fn add_account(&self, email: Email, password: Password) -> Result<AccountId> {
        self.accounts.add(email, password, true, &mut system_rng()).await
    }

    /// Gives an account another password, from the command line.
    ///
    /// # Errors
    /// A guessable password, or no such account.
    pub async fn set_password(&self, email: Email, password: Password) -> Result<()> {
        self.accounts.set_password(email, password, &mut system_rng()).await
    }
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
}

/// The session of a request, which the session layer has put there.
fn session(request: &Parts) -> Result<&Session> {
    request.extensions.get::<Session>().ok_or(ConsoleError::Internal)
}

#[async_trait]
impl Backend for Console {
    async fn signed_in(&self, request: &Parts) -> Result<Option<SignedIn>> {
        sessions::signed_in(session(request)?).await
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
        sessions::begin(session(request)?, &account).await
    }

    async fn sign_in(&self, request: &Parts, email: Email, password: Password) -> Result<()> {
        let account =
            self.accounts.authenticate(&email, &password, Client::address_of(&request.extensions)).await?;
        sessions::begin(session(request)?, &account).await
    }

    async fn sign_out(&self, request: &Parts) -> Result<()> {
        sessions::end(session(request)?).await
    }

    async fn keys(&self, account: &AccountId) -> Result<KeyList> {
        self.keys.list(account).await
    }

    async fn create_key(
        &self,
        account: &AccountId,
        name: KeyName,
        period: Period,
        description: Description,
    ) -> Result<KeyList> {
        self.keys.create(account, name, period, description, &mut system_rng()).await
    }

    async fn rename_key(&self, account: &AccountId, key: &KeyId, name: KeyName) -> Result<KeyList> {
        self.keys.rename(account, key, name).await
    }

    async fn refresh_key(&self, account: &AccountId, key: &KeyId, period: Period) -> Result<KeyList> {
        self.keys.refresh(account, key, period).await
    }

    async fn set_key_active(&self, account: &AccountId, key: &KeyId, active: bool) -> Result<KeyList> {
        self.keys.set_active(account, key, active).await
    }

    async fn delete_key(&self, account: &AccountId, key: &KeyId, confirm_name: &str) -> Result<KeyList> {
        self.keys.delete(account, key, confirm_name).await
    }
}
