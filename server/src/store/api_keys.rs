//! API keys. Whose they are, whether they are live and what they may become stands in the statements, so
//! that no answer depends on what was true a moment ago.

mod rotation;

pub(crate) use rotation::{NewSecretRow, retire, retire_on_use, rotate};

use crate::secret::SecretDigest;
use crate::store::{Store, StoreError, Tx};
use app::domain::account::AccountId;
use app::domain::api_key::{ApiKey, KeyId, LIMIT, OldSecret};
use app::domain::description::Description;
use app::domain::key_name::KeyName;
use app::domain::timestamp::Timestamp;
use app::domain::unicode::fold;
use app::domain::usage::ClientName;
use sqlx::{Executor, FromRow};

/// The columns of [`KeyRow`].
macro_rules! select_keys {
    ($where:literal) => {
        concat!(
            "SELECT k.id, k.name, k.description, k.last_four, k.old_last_four, k.old_until, k.old_ends_on_use,
                    k.created_at, k.expires_at, k.active, u.last_at, u.address, u.agent
             FROM api_keys k LEFT JOIN api_key_last_uses u ON u.key_id = k.id ",
            $where
        )
    };
}

/// A key, as it is listed.
#[derive(Clone, Debug, FromRow)]
pub struct KeyRow {
    id: String,
    name: String,
    description: String,
    last_four: String,
    old_last_four: Option<String>,
    old_until: Option<i64>,
    old_ends_on_use: i64,
    created_at: i64,
    expires_at: Option<i64>,
    active: i64,
    last_at: Option<i64>,
    address: Option<String>,
    agent: Option<String>,
}

impl KeyRow {
    /// `None` for a row that is not one of ours.
    fn into_key(self) -> Option<ApiKey> {
        Some(ApiKey {
            id: KeyId::parse(&self.id)?,
            name: self.name,
            description: self.description,
            last_four: self.last_four,
            old: self.old_last_four.zip(self.old_until).map(|(last_four, until)| OldSecret {
                last_four,
                until: Timestamp(until),
                ends_on_use: self.old_ends_on_use != 0,
            }),
            created_at: Timestamp(self.created_at),
            expires_at: self.expires_at.map(Timestamp),
            last_used_at: self.last_at.map(Timestamp),
            last_used_from: self
                .address
                .zip(self.agent)
                .map(|(address, agent)| ClientName { address, agent }.to_string()),
            active: self.active != 0,
            html: String::new(),
        })
    }
}

/// A key to be made.
#[derive(Debug)]
pub struct NewApiKey {
    /// Its handle.
    pub id: KeyId,
    /// Its name.
    pub name: KeyName,
    /// What it is for.
    pub description: Description,
    /// The digest of its secret.
    pub digest: SecretDigest,
    /// The last four characters of its secret.
    pub last_four: String,
    /// What its secret begins with.
    pub prefix: String,
    /// When it expires.
    pub expires_at: Option<Timestamp>,
}

/// What came of changing a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It was done.
    Done,
    /// The account has no such key.
    NotFound,
    /// Another key of the account has the name.
    Taken,
    /// The account has as many keys as it may have.
    LimitReached,
    /// The key has expired.
    Expired,
    /// The new expiry is not later than the old one.
    NotLater,
    /// The name given is not the key's.
    DoesNotMatch,
    /// Its last rotation has not ended yet.
    Rotating,
}

/// A key as a program is told of its own.
#[derive(Clone, Debug, FromRow)]
pub struct OwnKey {
    /// Its handle.
    pub id: String,
    /// Whose it is.
    pub account_id: String,
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// When it was made.
    pub created_at: i64,
    /// When it expires.
    pub expires_at: Option<i64>,
    /// When it was last let in, as far as that is written down.
    pub last_used_at: Option<i64>,
}

impl Store {
    /// All keys of an account, newest first and the expired ones last.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn keys(&self, account: &AccountId, now: Timestamp) -> Result<Vec<ApiKey>, StoreError> {
        list(&self.read, account, now).await
    }

    /// The key with this handle, whosever it is.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn own_key(&self, key: &KeyId) -> Result<Option<OwnKey>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT k.id, k.account_id, k.name, k.description, k.created_at, k.expires_at, u.last_at AS last_used_at
             FROM api_keys k LEFT JOIN api_key_last_uses u ON u.key_id = k.id WHERE k.id = $1",
        )
        .bind(key.as_str())
        .fetch_optional(&self.read)
        .await?)
    }
}

/// All keys of an account, newest first and the expired ones last.
pub(crate) async fn list<'e>(
    executor: impl Executor<'e, Database = super::Db>,
    account: &AccountId,
    now: Timestamp,
) -> Result<Vec<ApiKey>, StoreError> {
    let rows: Vec<KeyRow> = sqlx::query_as(select_keys!(
        "WHERE k.account_id = $1
             ORDER BY CASE WHEN k.expires_at <= $2 THEN 1 ELSE 0 END, k.created_at DESC, k.id DESC"
    ))
    .bind(&account.0)
    .bind(now.0)
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().filter_map(KeyRow::into_key).collect())
}

/// Makes a key, if the account has room for it and the name is free.
pub(crate) async fn insert(
    tx: &mut Tx,
    account: &AccountId,
    new: &NewApiKey,
    now: Timestamp,
) -> Result<Change, StoreError> {
    let name_folded = fold(new.name.as_str());
    let made = sqlx::query(
        "INSERT INTO api_keys (id, account_id, name, name_folded, description, secret_digest, last_four,
                               created_at, expires_at, prefix)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $11
         WHERE (SELECT count(*) FROM api_keys
                WHERE account_id = $2 AND (expires_at IS NULL OR expires_at > $8)) < $10
         ON CONFLICT (account_id, name_folded) DO NOTHING",
    )
    .bind(new.id.as_str())
    .bind(&account.0)
    .bind(new.name.as_str())
    .bind(&name_folded)
    .bind(new.description.as_str())
    .bind(new.digest.as_bytes().as_slice())
    .bind(&new.last_four)
    .bind(now.0)
    .bind(new.expires_at.map(|at| at.0))
    .bind(i64::from(LIMIT))
    .bind(&new.prefix)
    .execute(&mut **tx)
    .await?;
    if made.rows_affected() == 1 {
        return Ok(Change::Done);
    }
    let live: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM api_keys WHERE account_id = $1 AND (expires_at IS NULL OR expires_at > $2)",
    )
    .bind(&account.0)
    .bind(now.0)
    .fetch_one(&mut **tx)
    .await?;
    Ok(if live >= i64::from(LIMIT) { Change::LimitReached } else { Change::Taken })
}

/// Gives a key another name; another spelling of its own name is another name too.
pub(crate) async fn rename(
    tx: &mut Tx,
    account: &AccountId,
    key: &KeyId,
    name: &KeyName,
) -> Result<Change, StoreError> {
    let name_folded = fold(name.as_str());
    let renamed = sqlx::query(
        "UPDATE api_keys SET name = $3, name_folded = $4
         WHERE id = $1 AND account_id = $2
           AND NOT EXISTS (SELECT 1 FROM api_keys WHERE account_id = $2 AND name_folded = $4 AND id <> $1)",
    )
    .bind(key.as_str())
    .bind(&account.0)
    .bind(name.as_str())
    .bind(name_folded)
    .execute(&mut **tx)
    .await?;
    if renamed.rows_affected() == 1 {
        return Ok(Change::Done);
    }
    Ok(if find(tx, account, key).await?.is_some() { Change::Taken } else { Change::NotFound })
}

/// Moves the expiry of a key that has not expired later; `None` means never.
pub(crate) async fn refresh(
    tx: &mut Tx,
    account: &AccountId,
    key: &KeyId,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Result<Change, StoreError> {
    let moved = sqlx::query(
        "UPDATE api_keys SET expires_at = $3
         WHERE id = $1 AND account_id = $2 AND expires_at > $4 AND (expires_at < $3 OR $3 IS NULL)",
    )
    .bind(key.as_str())
    .bind(&account.0)
    .bind(expires_at.map(|at| at.0))
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    if moved.rows_affected() == 1 {
        return Ok(Change::Done);
    }
    Ok(match find(tx, account, key).await? {
        None => Change::NotFound,
        Some(KeyRow { expires_at: Some(at), .. }) if at <= now.0 => Change::Expired,
        Some(_) => Change::NotLater,
    })
}

/// Switches a key that has not expired on or off.
pub(crate) async fn set_active(
    tx: &mut Tx,
    account: &AccountId,
    key: &KeyId,
    active: bool,
    now: Timestamp,
) -> Result<Change, StoreError> {
    let switched = sqlx::query(
        "UPDATE api_keys SET active = $3
         WHERE id = $1 AND account_id = $2 AND (expires_at IS NULL OR expires_at > $4)",
    )
    .bind(key.as_str())
    .bind(&account.0)
    .bind(i64::from(active))
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    if switched.rows_affected() == 1 {
        return Ok(Change::Done);
    }
    Ok(if find(tx, account, key).await?.is_some() { Change::Expired } else { Change::NotFound })
}

/// Deletes a key, if `name` is its name.
pub(crate) async fn delete(
    tx: &mut Tx,
    account: &AccountId,
    key: &KeyId,
    is_named: impl Fn(&str) -> bool + Send,
) -> Result<Change, StoreError> {
    let Some(row) = find(tx, account, key).await? else { return Ok(Change::NotFound) };
    if !is_named(&row.name) {
        return Ok(Change::DoesNotMatch);
    }
    let deleted = sqlx::query("DELETE FROM api_keys WHERE id = $1 AND account_id = $2 AND name = $3")
        .bind(key.as_str())
        .bind(&account.0)
        .bind(&row.name)
        .execute(&mut **tx)
        .await?;
    Ok(if deleted.rows_affected() == 1 { Change::Done } else { Change::NotFound })
}

/// Clears away keys that expired at `ended_by` or before, and old secrets whose grace ended then.
pub(crate) async fn clear_ended(tx: &mut Tx, ended_by: Timestamp) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM api_keys WHERE expires_at <= $1").bind(ended_by.0).execute(&mut **tx).await?;
    sqlx::query(
        "UPDATE api_keys SET old_digest = NULL, old_last_four = NULL, old_until = NULL, old_ends_on_use = 0,
                old_ended = 0, old_prefix = ''
         WHERE old_until <= $1",
    )
    .bind(ended_by.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The name of a key of the account.
pub(crate) async fn name(
    tx: &mut Tx,
    account: &AccountId,
    key: &KeyId,
) -> Result<Option<String>, StoreError> {
    Ok(find(tx, account, key).await?.map(|row| row.name))
}

/// A key of the account, inside the transaction that failed to change it.
async fn find(tx: &mut Tx, account: &AccountId, key: &KeyId) -> Result<Option<KeyRow>, StoreError> {
    Ok(sqlx::query_as(select_keys!("WHERE k.id = $1 AND k.account_id = $2"))
        .bind(key.as_str())
        .bind(&account.0)
        .fetch_optional(&mut **tx)
        .await?)
}
