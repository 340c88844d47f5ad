//! Accounts.

use crate::store::{Store, StoreError, Tx, instance_state, lock_sign_ups};
use app::domain::account::{AccountId, Email};
use app::domain::timestamp::Timestamp;
use app::domain::unicode::fold;
use sqlx::FromRow;

/// An account, with the data needed to sign in.
#[derive(Clone, Debug, FromRow)]
pub struct AccountRow {
    /// Its id.
    pub id: String,
    /// Its email address, as it was entered.
    pub email: String,
    /// The Argon2id hash of its password, as a PHC string.
    pub password_hash: String,
    /// How often the password was changed.
    pub password_version: i64,
    /// When it was created, in milliseconds since 1970.
    pub created_at: i64,
}

/// An account to insert.
pub struct NewAccount<'a> {
    /// Its id.
    pub id: &'a AccountId,
    /// Its email address.
    pub email: &'a Email,
    /// The Argon2id hash of its password, as a PHC string.
    pub password_hash: &'a str,
    /// When it is created.
    pub created_at: Timestamp,
}

/// The outcome of inserting an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InsertOutcome {
    /// The account was inserted.
    Done,
    /// Another account has the email address.
    Taken,
    /// Sign-ups are closed, and the database has already had an account.
    Closed,
}

impl Store {
    /// The account with this email address.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn account_by_email(&self, email: &Email) -> Result<Option<AccountRow>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT id, email, password_hash, password_version, created_at FROM accounts WHERE email_folded = $1",
        )
        .bind(fold(email.as_str()))
        .fetch_optional(&self.read)
        .await?)
    }

    /// The account with this id.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn account(&self, account: &AccountId) -> Result<Option<AccountRow>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT id, email, password_hash, password_version, created_at FROM accounts WHERE id = $1",
        )
        .bind(&account.0)
        .fetch_optional(&self.read)
        .await?)
    }

    /// All accounts, oldest first.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn accounts(&self) -> Result<Vec<AccountRow>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT id, email, password_hash, password_version, created_at FROM accounts ORDER BY created_at, id",
        )
        .fetch_all(&self.read)
        .await?)
    }
}

/// Inserts an account. The first account of a database is always allowed, further ones only if `is_open` is true. After
/// the only account is deleted, the next one does not count as the first.
pub(crate) async fn insert(
    tx: &mut Tx,
    new: &NewAccount<'_>,
    is_open: bool,
) -> Result<InsertOutcome, StoreError> {
    lock_sign_ups(tx).await?;
    if !is_open && instance_state::had_account(tx).await? {
        return Ok(InsertOutcome::Closed);
    }
    let inserted = sqlx::query(
        "INSERT INTO accounts (id, email, email_folded, password_hash, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (email_folded) DO NOTHING",
    )
    .bind(&new.id.0)
    .bind(new.email.as_str())
    .bind(fold(new.email.as_str()))
    .bind(new.password_hash)
    .bind(new.created_at.0)
    .execute(&mut **tx)
    .await?;
    if inserted.rows_affected() == 0 {
        return Ok(InsertOutcome::Taken);
    }
    instance_state::record_account(tx).await?;
    Ok(InsertOutcome::Done)
}

/// Replaces the password of an account if its version is still `version`. Returns whether it was replaced.
pub(crate) async fn set_password(
    tx: &mut Tx,
    account: &AccountId,
    version: i64,
    password_hash: &str,
) -> Result<bool, StoreError> {
    let changed = sqlx::query(
        "UPDATE accounts SET password_hash = $3, password_version = password_version + 1
         WHERE id = $1 AND password_version = $2",
    )
    .bind(&account.0)
    .bind(version)
    .bind(password_hash)
    .execute(&mut **tx)
    .await?;
    Ok(changed.rows_affected() == 1)
}

/// Deletes an account and everything that it owns if the version of its password is still `version`. Returns whether it
/// was deleted.
pub(crate) async fn delete(tx: &mut Tx, account: &AccountId, version: i64) -> Result<bool, StoreError> {
    let deleted = sqlx::query("DELETE FROM accounts WHERE id = $1 AND password_version = $2")
        .bind(&account.0)
        .bind(version)
        .execute(&mut **tx)
        .await?;
    Ok(deleted.rows_affected() == 1)
}
