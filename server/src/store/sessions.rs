//! Sessions. Ids come here hashed.

use crate::store::{Store, StoreError, Tx, lock_account};
use app::domain::account::AccountId;
use app::domain::timestamp::Timestamp;
use sqlx::FromRow;

/// A session that is neither idle nor too old.
#[derive(Clone, Debug, FromRow)]
pub struct SessionRow {
    /// Whose it is.
    pub account_id: String,
    /// The address that the account signs in with.
    pub email: String,
    /// When it was last seen, to the minute.
    pub last_seen_at: i64,
}

/// A session in the list of its account.
#[derive(Clone, Debug, FromRow)]
pub struct ListedSession {
    /// The hash of its id.
    pub id_hash: Vec<u8>,
    /// When it began.
    pub created_at: i64,
    /// When it was last seen, to the minute.
    pub last_seen_at: i64,
    /// The address that it began from.
    pub address: String,
    /// What it began with: the browser's `User-Agent`.
    pub agent: String,
}

/// A session to be begun.
pub(crate) struct NewSession {
    pub id_hash: Vec<u8>,
    pub account: AccountId,
    /// The version of the password that was given.
    pub password_version: i64,
    /// Where it begins from.
    pub address: String,
    /// What it begins with.
    pub agent: String,
}

/// Sessions that an account may have at once. Without a limit one account, or whoever has its password, could fill the
/// database.
pub const SESSIONS_PER_ACCOUNT: i64 = 50;

impl Store {
    /// The sessions of an account that were seen after `idle_since` and made after `made_since`, newest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn sessions_of(
        &self,
        account: &AccountId,
        idle_since: Timestamp,
        made_since: Timestamp,
    ) -> Result<Vec<ListedSession>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT id_hash, created_at, last_seen_at, address, agent FROM sessions
             WHERE account_id = $1 AND last_seen_at > $2 AND created_at > $3 ORDER BY created_at DESC, id_hash LIMIT $4",
        )
        .bind(&account.0)
        .bind(idle_since.0)
        .bind(made_since.0)
        .bind(SESSIONS_PER_ACCOUNT)
        .fetch_all(&self.read)
        .await?)
    }

    /// The session with this id, if it was seen after `idle_since` and made after `made_since`.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn session(
        &self,
        id_hash: &[u8],
        idle_since: Timestamp,
        made_since: Timestamp,
    ) -> Result<Option<SessionRow>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT s.account_id, a.email, s.last_seen_at
             FROM sessions s JOIN accounts a ON a.id = s.account_id
             WHERE s.id_hash = $1 AND s.last_seen_at > $2 AND s.created_at > $3",
        )
        .bind(id_hash)
        .bind(idle_since.0)
        .bind(made_since.0)
        .fetch_optional(&self.read)
        .await?)
    }
}

/// Begins a session, if the password has not been changed since it was given; returns whether it has begun. The oldest
/// sessions beyond [`SESSIONS_PER_ACCOUNT`] end.
pub(crate) async fn insert(tx: &mut Tx, new: &NewSession, now: Timestamp) -> Result<bool, StoreError> {
    lock_account(tx, &new.account).await?;
    let begun = sqlx::query(
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
    if begun.rows_affected() == 0 {
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

/// Whether a session of the account has not ended, in the transaction that makes its change. As whoever ends a session
/// holds the account first, it cannot end before this transaction does.
pub(crate) async fn is_live(
    tx: &mut Tx,
    account: &AccountId,
    id_hash: &[u8],
    idle_since: Timestamp,
    made_since: Timestamp,
) -> Result<bool, StoreError> {
    lock_account(tx, account).await?;
    let live = sqlx::query(
        "SELECT 1 FROM sessions
         WHERE id_hash = $1 AND account_id = $2 AND last_seen_at > $3 AND created_at > $4",
    )
    .bind(id_hash)
    .bind(&account.0)
    .bind(idle_since.0)
    .bind(made_since.0)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(live.is_some())
}

/// Notes that a session was seen. It never brings one back: an update changes nothing where there is no
/// row, so signing out is final even with requests in flight.
pub(crate) async fn touch(tx: &mut Tx, id_hash: &[u8], now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("UPDATE sessions SET last_seen_at = $2 WHERE id_hash = $1 AND last_seen_at < $2")
        .bind(id_hash)
        .bind(now.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Ends a session, after the changes that were begun with it.
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

/// Ends all sessions of an account, after the changes that were begun with them.
pub(crate) async fn delete_all_of(tx: &mut Tx, account: &AccountId) -> Result<(), StoreError> {
    lock_account(tx, account).await?;
    sqlx::query("DELETE FROM sessions WHERE account_id = $1").bind(&account.0).execute(&mut **tx).await?;
    Ok(())
}

/// Clears away sessions that are past their limits.
pub(crate) async fn delete_ended(
    tx: &mut Tx,
    idle_since: Timestamp,
    made_since: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM sessions WHERE last_seen_at <= $1 OR created_at <= $2")
        .bind(idle_since.0)
        .bind(made_since.0)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
