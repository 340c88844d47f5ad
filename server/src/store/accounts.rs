//! Accounts.

use crate::store::{Store, StoreError, Tx, instance_state, lock_sign_ups};
use app::domain::account::{AccountId, Email};
use app::domain::timestamp::Timestamp;
use app::domain::unicode::fold;
use sqlx::FromRow;

/// An account, as it signs in.
#[derive(Clone, Debug, FromRow)]
pub struct AccountRow {
    /// Its handle.
    pub id: String,
    /// Its address, as it was typed.
    pub email: String,
    /// Argon2id, as a PHC string.
    pub password_hash: String,
    /// How often that was changed.
    pub password_version: i64,
    /// When it was made.
    pub created_at: i64,
}

/// An account to be made.
pub struct NewAccount<'a> {
    /// Its handle.
    pub id: &'a AccountId,
    /// Its address.
    pub email: &'a Email,
    /// Argon2id, as a PHC string.
    pub password_hash: &'a str,
    /// When it is made.
    pub created_at: Timestamp,
}

/// What came of making an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Insertion {
    /// It was made.
    Done,
    /// Another account has its address.
    Taken,
    /// There has been an account already, and no other may be created.
    Closed,
}

impl Store {
    /// The account with this address.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn account_by_email(&self, email: &Email) -> Result<Option<AccountRow>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT id, email, password_hash, password_version, created_at FROM accounts WHERE email_folded = $1",
        )
        .bind(fold(email.as_str()))
        .fetch_optional(&self.read)
        .await?)
    }

    /// The account with this handle.
    ///
    /// # Errors
    /// The database does not answer.
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
    /// The database does not answer.
    pub async fn accounts(&self) -> Result<Vec<AccountRow>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT id, email, password_hash, password_version, created_at FROM accounts ORDER BY created_at, id",
        )
        .fetch_all(&self.read)
        .await?)
    }
}

/// Creates an account: always the first one of a database, another only if sign-ups are open. Deleting the only account
/// does not open the console to whoever comes first.
pub(crate) async fn insert(
    tx: &mut Tx,
    new: &NewAccount<'_>,
    is_open: bool,
) -> Result<Insertion, StoreError> {
    lock_sign_ups(tx).await?;
    if !is_open && instance_state::had_account(tx).await? {
        return Ok(Insertion::Closed);
    }
    let made = sqlx::query(
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
    if made.rows_affected() == 0 {
        return Ok(Insertion::Taken);
    }
    instance_state::record_account(tx).await?;
    Ok(Insertion::Done)
}

/// Gives an account another password, if it still has the one of this version; whether it had.
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

/// Deletes an account with everything that it owns, if its password still is of this version; whether it was.
pub(crate) async fn delete(tx: &mut Tx, account: &AccountId, version: i64) -> Result<bool, StoreError> {
    let deleted = sqlx::query("DELETE FROM accounts WHERE id = $1 AND password_version = $2")
        .bind(&account.0)
        .bind(version)
        .execute(&mut **tx)
        .await?;
    Ok(deleted.rows_affected() == 1)
}
