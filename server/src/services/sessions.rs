//! Sessions: tower-sessions handles the cookie, and the database stores the state.
//!
//! Both limits are enforced here, with columns of the database (OWASP ASVS 5.0, 7.3.1 and 7.3.2). The library's own
//! expiry does not slide while nothing is written, and it has no absolute limit.

use crate::client::{Client, ClientIp};
use crate::clock::Clock;
use crate::store::sessions::{ListedSession, NewSession};
use crate::store::{Store, StoreError, disable_statement_timeout, sessions, spawn_transaction};
use app::backend::SignedIn;
use app::domain::account::AccountId;
use app::domain::timestamp::{DAY, HOUR, MINUTE, Timestamp};
use app::error::ConsoleError;
use async_trait::async_trait;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use time::OffsetDateTime;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::{Error, Result};
use tower_sessions::{Expiry, Session, SessionStore};

/// A session ends after this time without a request, in milliseconds.
pub const IDLE_LIMIT: i64 = 24 * HOUR;
/// A session ends this long after it began, in milliseconds.
pub const ABSOLUTE_LIMIT: i64 = 30 * DAY;
/// Minimum interval between updates of the last use of a session, in milliseconds.
const TOUCH_INTERVAL: i64 = MINUTE;

const ACCOUNT: &str = "account";
const EMAIL: &str = "email";
const PASSWORD_VERSION: &str = "password_version";
const ADDRESS: &str = "address";
const AGENT: &str = "agent";

/// An account whose password was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// The account.
    pub account: AccountId,
    /// The version of the verified password: how often it had been changed.
    pub password_version: i64,
}

/// How long the browser keeps the cookie: [`ABSOLUTE_LIMIT`].
#[must_use]
pub fn cookie_lifetime() -> Expiry {
    Expiry::OnInactivity(time::Duration::milliseconds(ABSOLUTE_LIMIT))
}

/// The signed-in account of a request with these extensions and headers; `None` if it has no live session.
///
/// # Errors
/// The database does not respond.
pub async fn signed_in(
    extensions: &Extensions,
    headers: &HeaderMap,
) -> std::result::Result<Option<SignedIn>, ConsoleError> {
    let session = of(extensions)?;
    let value = async |key| session.get::<String>(key).await.map_err(|error| unavailable(&error));
    match (value(ACCOUNT).await?, value(EMAIL).await?) {
        (Some(account), Some(email)) => {
            let client = Client::at(ClientIp::of(extensions), headers).name();
            let session = session.id().map(|id| hash(&id)).unwrap_or_default();
            Ok(Some(SignedIn { account: AccountId(account), email, client, session }))
        }
        _ => Ok(None),
    }
}

/// The session of a request, as the session layer inserted it.
///
/// # Errors
/// [`ConsoleError::Internal`] if the route is outside that layer.
pub fn of(request: &Extensions) -> std::result::Result<&Session, ConsoleError> {
    request.get::<Session>().ok_or(ConsoleError::Internal)
}

/// Begins a session, always with a new id. An id that was planted in the browser is never adopted (OWASP ASVS 5.0,
/// 7.2.4).
///
/// # Errors
/// The database does not respond, or the password was changed after it was verified.
pub async fn begin(
    request: &Parts,
    Authenticated { account, password_version }: &Authenticated,
) -> std::result::Result<(), ConsoleError> {
    let session = of(&request.extensions)?;
    let client = Client::of(request).name();
    let begun = async {
        session.cycle_id().await?;
        session.insert(ACCOUNT, &account.0).await?;
        session.insert(PASSWORD_VERSION, password_version).await?;
        session.insert(ADDRESS, client.address).await?;
        session.insert(AGENT, client.agent).await?;
        session.save().await
    };
    begun.await.map_err(|error| unavailable(&error))
}

/// Ends a session permanently.
///
/// # Errors
/// The database does not respond.
pub async fn end(session: &Session) -> std::result::Result<(), ConsoleError> {
    session.flush().await.map_err(|error| unavailable(&error))
}

fn unavailable(error: &tower_sessions::session::Error) -> ConsoleError {
    tracing::error!(%error, "the session could not be read or written");
    ConsoleError::Unavailable
}

/// Stores sessions in the database.
#[derive(Clone, Debug)]
pub struct DatabaseSessions {
    /// The database.
    pub store: Store,
    /// Source of the current time, for both limits.
    pub clock: Clock,
}

/// The bounds of a live session: it was last seen after the first time, and began after the second.
#[must_use]
pub fn limits(now: Timestamp) -> (Timestamp, Timestamp) {
    (now.plus(-IDLE_LIMIT), now.plus(-ABSOLUTE_LIMIT))
}

/// The SHA-256 digest of a session id, which is stored instead of the id.
#[must_use]
pub fn hash(id: &Id) -> Vec<u8> {
    Sha256::digest(id.0.to_le_bytes()).to_vec()
}

/// Formats bytes in hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn failed(error: StoreError) -> Error {
    Error::Backend(error.to_string())
}

#[async_trait]
impl SessionStore for DatabaseSessions {
    /// Inserts a session. Only a sign-in does this, so every session has an account.
    async fn create(&self, record: &mut Record) -> Result<()> {
        let text = |key| record.data.get(key).and_then(|value| value.as_str()).map(ToOwned::to_owned);
        let Some(account) = text(ACCOUNT) else {
            return Err(Error::Encode("a session must have an account".to_owned()));
        };
        let new = NewSession {
            id_hash: hash(&record.id),
            account: AccountId(account),
            password_version: record.data.get(PASSWORD_VERSION).and_then(Value::as_i64).unwrap_or(-1),
            address: text(ADDRESS).unwrap_or_default(),
            agent: text(AGENT).unwrap_or_default(),
        };
        let (store, now) = (self.store.clone(), self.clock.now());
        spawn_transaction(async move {
            let mut tx = store.begin().await?;
            if !sessions::insert(&mut tx, &new, now).await? {
                return Ok(false);
            }
            tx.commit().await?;
            Ok(true)
        })
        .await
        .map_err(failed)
        .and_then(|begun| begun.then_some(()).ok_or(Error::Backend("the password was changed".to_owned())))
    }

    /// Writes nothing. Only the time of the last use changes, and `load` records it. A write here could bring back a
    /// session that has ended in the meantime.
    async fn save(&self, _record: &Record) -> Result<()> {
        Ok(())
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let now = self.clock.now();
        let (idle_since, created_since) = limits(now);
        let id_hash = hash(id);
        let Some(row) = self.store.session(&id_hash, idle_since, created_since).await.map_err(failed)? else {
            return Ok(None);
        };
        if row.last_seen_at <= now.0 - TOUCH_INTERVAL {
            let store = self.store.clone();
            spawn_transaction(async move {
                let mut tx = store.begin().await?;
                sessions::touch(&mut tx, &id_hash, now).await?;
                Ok(tx.commit().await?)
            })
            .await
            .map_err(failed)?;
        }
        let data = HashMap::from([
            (ACCOUNT.to_owned(), row.account_id.into()),
            (EMAIL.to_owned(), row.email.into()),
        ]);
        let expiry_date = OffsetDateTime::from_unix_timestamp((now.0 + IDLE_LIMIT) / 1_000)
            .map_err(|error| Error::Decode(error.to_string()))?;
        Ok(Some(Record { id: *id, data, expiry_date }))
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        let (store, id) = (self.store.clone(), hash(id));
        spawn_transaction(async move {
            let mut tx = store.begin().await?;
            sessions::delete(&mut tx, &id).await?;
            Ok(tx.commit().await?)
        })
        .await
        .map_err(failed)
    }
}

impl DatabaseSessions {
    /// The sessions of an account that have not ended, newest first.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn of_account(
        &self,
        account: &AccountId,
    ) -> std::result::Result<Vec<ListedSession>, StoreError> {
        let (idle_since, created_since) = limits(self.clock.now());
        self.store.sessions_of(account, idle_since, created_since).await
    }

    /// Whether a session of this account has not ended; false if the database does not respond. The check does not
    /// count as a use of the session.
    pub async fn is_live(&self, id: &Id, account: &AccountId) -> bool {
        self.is_hash_live(&hash(id), account).await
    }

    /// Like [`Self::is_live`], for the session whose id has this SHA-256 digest.
    pub(crate) async fn is_hash_live(&self, id_hash: &[u8], account: &AccountId) -> bool {
        let (idle_since, created_since) = limits(self.clock.now());
        let row = self.store.session(id_hash, idle_since, created_since).await;
        row.is_ok_and(|row| row.is_some_and(|row| row.account_id == account.0))
    }

    /// Deletes sessions that are past a limit, and shared rate-limit counters that have run down.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn sweep(&self) -> std::result::Result<(), StoreError> {
        let (store, (idle_since, created_since)) = (self.store.clone(), limits(self.clock.now()));
        spawn_transaction(async move {
            let mut tx = store.begin().await?;
            disable_statement_timeout(&mut tx).await?;
            sessions::delete_expired(&mut tx, idle_since, created_since).await?;
            tx.commit().await?;
            store.delete_empty_counters().await
        })
        .await
    }
}
