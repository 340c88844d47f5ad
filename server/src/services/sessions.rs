//! Sessions: tower-sessions carries the cookie, the database keeps what counts.
//!
//! Both limits are kept here, in the database's columns, because the library's own expiry does not slide
//! while nothing is written and knows no absolute limit (OWASP ASVS 5.0, 7.3.1 and 7.3.2).

use crate::client::ClientIp;
use crate::clock::Clock;
use crate::store::sessions::{ListedSession, NewSession};
use crate::store::{Store, StoreError, disable_statement_timeout, sessions, spawn_transaction};
use app::backend::SignedIn;
use app::domain::account::AccountId;
use app::domain::timestamp::{DAY, HOUR, MINUTE, Timestamp};
use app::error::ConsoleError;
use async_trait::async_trait;
use axum::http::Extensions;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use time::OffsetDateTime;
use tower_sessions::session::{Id, Record};
use tower_sessions::session_store::{Error, Result};
use tower_sessions::{Expiry, Session, SessionStore};

/// A session that was not used for so long has ended, in milliseconds.
pub const IDLE_LIMIT: i64 = 24 * HOUR;
/// A session that is so old has ended, in milliseconds.
pub const ABSOLUTE_LIMIT: i64 = 30 * DAY;
/// How often it is noted that a session is used, in milliseconds.
const TOUCH_INTERVAL: i64 = MINUTE;

const ACCOUNT: &str = "account";
const EMAIL: &str = "email";
const PASSWORD_VERSION: &str = "password_version";
const ADDRESS: &str = "address";
const AGENT: &str = "agent";
/// Bytes of a `User-Agent` that are remembered.
const AGENT_LENGTH: usize = 200;

/// Somebody who gave the password of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// Which.
    pub account: AccountId,
    /// How often the password had been changed.
    pub password_version: i64,
}

/// How long the browser keeps the cookie.
#[must_use]
pub fn cookie_lifetime() -> Expiry {
    Expiry::OnInactivity(time::Duration::milliseconds(ABSOLUTE_LIMIT))
}

/// Who sends a request with these extensions.
///
/// # Errors
/// The database does not answer.
pub async fn signed_in(request: &Extensions) -> std::result::Result<Option<SignedIn>, ConsoleError> {
    let session = of(request)?;
    let value = async |key| session.get::<String>(key).await.map_err(|error| unavailable(&error));
    match (value(ACCOUNT).await?, value(EMAIL).await?) {
        (Some(account), Some(email)) => {
            let address = ClientIp::of(request).to_string();
            let session = session.id().map(|id| hash(&id)).unwrap_or_default();
            Ok(Some(SignedIn { account: AccountId(account), email, address, session }))
        }
        _ => Ok(None),
    }
}

/// The session of a request, which the session layer has put there.
///
/// # Errors
/// There is none: the route is outside that layer.
pub fn of(request: &Extensions) -> std::result::Result<&Session, ConsoleError> {
    request.get::<Session>().ok_or(ConsoleError::Internal)
}

/// Begins a session, always with a new id: one that somebody planted is never taken on (OWASP ASVS 5.0,
/// 7.2.4).
///
/// # Errors
/// The database does not answer, or the password was changed since it was given.
pub async fn begin(
    request: &Parts,
    Authenticated { account, password_version }: &Authenticated,
) -> std::result::Result<(), ConsoleError> {
    let session = of(&request.extensions)?;
    let agent = request.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let begun = async {
        session.cycle_id().await?;
        session.insert(ACCOUNT, &account.0).await?;
        session.insert(PASSWORD_VERSION, password_version).await?;
        session.insert(ADDRESS, ClientIp::of(&request.extensions)).await?;
        session.insert(AGENT, agent.get(..AGENT_LENGTH).unwrap_or(agent)).await?;
        session.save().await
    };
    begun.await.map_err(|error| unavailable(&error))
}

/// Ends a session for good.
///
/// # Errors
/// The database does not answer.
pub async fn end(session: &Session) -> std::result::Result<(), ConsoleError> {
    session.flush().await.map_err(|error| unavailable(&error))
}

fn unavailable(error: &tower_sessions::session::Error) -> ConsoleError {
    tracing::error!(%error, "the session could not be read or written");
    ConsoleError::Unavailable
}

/// Keeps sessions in the database.
#[derive(Clone, Debug)]
pub struct DatabaseSessions {
    /// The database.
    pub store: Store,
    /// Judges what is idle and what is too old.
    pub clock: Clock,
}

/// The moments before which a session has ended: last seen, made.
#[must_use]
pub fn limits(now: Timestamp) -> (Timestamp, Timestamp) {
    (now.plus(-IDLE_LIMIT), now.plus(-ABSOLUTE_LIMIT))
}

/// What is stored of a session's id.
#[must_use]
pub fn hash(id: &Id) -> Vec<u8> {
    Sha256::digest(id.0.to_le_bytes()).to_vec()
}

fn failed(error: StoreError) -> Error {
    Error::Backend(error.to_string())
}

#[async_trait]
impl SessionStore for DatabaseSessions {
    /// A session is made when somebody signs in, and never otherwise.
    async fn create(&self, record: &mut Record) -> Result<()> {
        let text = |key| record.data.get(key).and_then(|value| value.as_str()).map(ToOwned::to_owned);
        let Some(account) = text(ACCOUNT) else {
            return Err(Error::Encode("a session belongs to an account".to_owned()));
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

    /// Nothing of a session changes but when it was seen, and that is noted when it is read. To write here
    /// would bring back a session that was ended in the meantime.
    async fn save(&self, _record: &Record) -> Result<()> {
        Ok(())
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let now = self.clock.now();
        let (idle_since, made_since) = limits(now);
        let id_hash = hash(id);
        let Some(row) = self.store.session(&id_hash, idle_since, made_since).await.map_err(failed)? else {
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
    /// The database does not answer.
    pub async fn of_account(
        &self,
        account: &AccountId,
    ) -> std::result::Result<Vec<ListedSession>, StoreError> {
        let (idle_since, made_since) = limits(self.clock.now());
        self.store.sessions_of(account, idle_since, made_since).await
    }

    /// Whether a session has not ended. To ask is not to use it.
    pub async fn is_live(&self, id: &Id, account: &AccountId) -> bool {
        let (idle_since, made_since) = limits(self.clock.now());
        let row = self.store.session(&hash(id), idle_since, made_since).await;
        row.is_ok_and(|row| row.is_some_and(|row| row.account_id == account.0))
    }

    /// Clears away sessions that have ended by themselves, and counters of attempts to begin one.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn sweep(&self) -> std::result::Result<(), StoreError> {
        let (store, (idle_since, made_since)) = (self.store.clone(), limits(self.clock.now()));
        spawn_transaction(async move {
            let mut tx = store.begin().await?;
            disable_statement_timeout(&mut tx).await?;
            sessions::delete_ended(&mut tx, idle_since, made_since).await?;
            tx.commit().await?;
            store.forget_attempts().await
        })
        .await
    }
}
