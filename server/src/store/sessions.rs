//! Sessions. The callers hash session ids; the database never stores an id in plaintext.

use crate::store::{Store, StoreError, Tx, lock_account};
use app::domain::account::AccountId;
use app::domain::timestamp::Timestamp;
use sqlx::FromRow;

/// A session within its idle timeout and its maximum lifetime.
#[derive(Clone, Debug, FromRow)]
pub struct SessionRow {
    /// The id of its account.
    pub account_id: String,
    /// The email address of the account.
    pub email: String,
    /// When it was last used, in milliseconds since 1970, with a precision of one minute.
    pub last_seen_at: i64,
}

/// A session in the session list of its account.
#[derive(Clone, Debug, FromRow)]
pub struct ListedSession {
    /// The SHA-256 digest of its id.
    pub id_hash: Vec<u8>,
    /// When it was created, in milliseconds since 1970.
    pub created_at: i64,
    /// When it was last used, in milliseconds since 1970, with a precision of one minute.
    pub last_seen_at: i64,
    /// The IP address of the client that signed in.
    pub address: String,
    /// The `User-Agent` of the client that signed in.
    pub agent: String,
}

/// A session to insert.
pub(crate) struct NewSession {
    /// The SHA-256 digest of its id.
    pub id_hash: Vec<u8>,
    pub account: AccountId,
    /// The version of the password that was verified.
    pub password_version: i64,
    /// The IP address of the client.
    pub address: String,
    /// The `User-Agent` of the client.
    pub agent: String,
}

/// Maximum number of sessions per account. It bounds the storage that one account can use, also if an attacker knows
/// its password.
pub const SESSIONS_PER_ACCOUNT: i64 = 50;

impl Store {
    /// The sessions of an account that were last used after `idle_since` and created after `created_since`, newest
    /// first.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn sessions_of(
        &self,
        account: &AccountId,
        idle_since: Timestamp,
        created_since: Timestamp,
    ) -> Result<Vec<ListedSession>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT id_hash, created_at, last_seen_at, address, agent FROM sessions
             WHERE account_id = $1 AND last_seen_at > $2 AND created_at > $3 ORDER BY created_at DESC, id_hash LIMIT $4",
        )
        .bind(&account.0)
        .bind(idle_since.0)
        .bind(created_since.0)
        .bind(SESSIONS_PER_ACCOUNT)
        .fetch_all(&self.read)
        .await?)
    }

    /// The session with this id, if it was last used after `idle_since` and created after `created_since`.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn session(
        &self,
        id_hash: &[u8],
        idle_since: Timestamp,
        created_since: Timestamp,
    ) -> Result<Option<SessionRow>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT s.account_id, a.email, s.last_seen_at
             FROM sessions s JOIN accounts a ON a.id = s.account_id
             WHERE s.id_hash = $1 AND s.last_seen_at > $2 AND s.created_at > $3",
        )
        .bind(id_hash)
        .bind(idle_since.0)
        .bind(created_since.0)
        .fetch_optional(&self.read)
        .await?)
    }
}

/// Inserts a session, unless the password has changed since it was verified. Returns whether the session was inserted.
/// Deletes the oldest sessions beyond [`SESSIONS_PER_ACCOUNT`].
pub(crate) async fn insert(tx: &mut Tx, new: &NewSession, now: Timestamp) -> Result<bool, StoreError> {
    lock_account(tx, &new.account).await?;
    let inserted = sqlx::query(
        "INSERT INTO sessions (id_hash, account_id, created_at, last_seen_at, address, agent)
         SELECT $1, $2, $3, $3, $4, $5
         WHERE EXISTS (SELECT 1 FROM accounts WHERE id = $2 AND password_version = $6)",
    )
    .bind(&new.id_hash)
    .bind(&new.account.0)
    .bind(now.0)
    .bind(&new.address)
    .bind(&new.agent)
    .bind(new.password_version)
    .execute(&mut **tx)
    .await?;
    if inserted.rows_affected() == 0 {
        return Ok(false);
    }
    sqlx::query(
        "DELETE FROM sessions WHERE account_id = $1 AND id_hash <> $2 AND id_hash NOT IN
             (SELECT id_hash FROM sessions WHERE account_id = $1 AND id_hash <> $2
              ORDER BY created_at DESC, id_hash LIMIT $3)",
    )
    .bind(&new.account.0)
    .bind(&new.id_hash)
    .bind(SESSIONS_PER_ACCOUNT - 1)
    .execute(&mut **tx)
    .await?;
    Ok(true)
}

/// Whether a session of the account is live. Call it in the transaction of the session's request: it locks the account.
/// Signing out takes the same lock, so the session cannot be deleted before this transaction ends.
pub(crate) async fn is_live(
    tx: &mut Tx,
    account: &AccountId,
    id_hash: &[u8],
    idle_since: Timestamp,
    created_since: Timestamp,
) -> Result<bool, StoreError> {
    lock_account(tx, account).await?;
    let live = sqlx::query(
        "SELECT 1 FROM sessions
         WHERE id_hash = $1 AND account_id = $2 AND last_seen_at > $3 AND created_at > $4",
    )
    .bind(id_hash)
    .bind(&account.0)
    .bind(idle_since.0)
    .bind(created_since.0)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(live.is_some())
}

/// Records that a session was used. The update never re-creates a deleted session, so signing out is final even with
/// requests in flight.
pub(crate) async fn touch(tx: &mut Tx, id_hash: &[u8], now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("UPDATE sessions SET last_seen_at = $2 WHERE id_hash = $1 AND last_seen_at < $2")
        .bind(id_hash)
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Deletes a session. Waits for the running transactions that depend on it (see [`is_live`]).
pub(crate) async fn delete(tx: &mut Tx, id_hash: &[u8]) -> Result<(), StoreError> {
    let account: Option<String> = sqlx::query_scalar("SELECT account_id FROM sessions WHERE id_hash = $1")
        .bind(id_hash)
        .fetch_optional(&mut **tx)
        .await?;
    let Some(account) = account else { return Ok(()) };
    lock_account(tx, &AccountId(account)).await?;
    sqlx::query("DELETE FROM sessions WHERE id_hash = $1").bind(id_hash).execute(&mut **tx).await?;
    Ok(())
}

/// Deletes all sessions of an account. Waits for the running transactions that depend on them (see [`is_live`]).
pub(crate) async fn delete_all_of(tx: &mut Tx, account: &AccountId) -> Result<(), StoreError> {
    lock_account(tx, account).await?;
    sqlx::query("DELETE FROM sessions WHERE account_id = $1").bind(&account.0).execute(&mut **tx).await?;
    Ok(())
}

/// Deletes sessions past their idle timeout or their maximum lifetime.
pub(crate) async fn delete_expired(
    tx: &mut Tx,
    idle_since: Timestamp,
    created_since: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM sessions WHERE last_seen_at <= $1 OR created_at <= $2")
        .bind(idle_since.0)
        .bind(created_since.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
