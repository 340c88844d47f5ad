//! API keys. Each statement itself checks ownership, state, expiry and limits, so no result depends on data from an
//! earlier read.

mod rotation;

pub(crate) use rotation::{NewSecretRow, retire, retire_on_use, rotate};

use crate::secret::SecretDigest;
use crate::store::{Store, StoreError, Tx};
use app::domain::access::Access;
use app::domain::account::AccountId;
use app::domain::api_key::{ApiKey, KeyId, PreviousSecret};
use app::domain::description::Description;
use app::domain::key_name::KeyName;
use app::domain::mecha::{KeyOwner, MechaId};
use app::domain::timestamp::Timestamp;
use app::domain::unicode::fold;
use app::domain::usage::ClientName;
use sqlx::{Executor, FromRow};

/// Selects the columns of [`KeyRow`].
macro_rules! select_keys {
    ($where:literal) => {
        concat!(
            "SELECT k.id, k.name, k.description, k.last_four, k.old_last_four, k.old_until, k.old_ends_on_use,
                    k.rotated_at, k.created_at, k.expires_at, k.active, k.scopes, u.last_at, u.address, u.agent,
                    u.previous_last_at, u.previous_address, u.previous_agent
             FROM api_keys k LEFT JOIN api_key_last_uses u ON u.key_id = k.id ",
            $where
        )
    };
}

/// A key in the list of its account.
#[derive(Clone, Debug, FromRow)]
pub struct KeyRow {
    id: String,
    name: String,
    description: String,
    last_four: String,
    old_last_four: Option<String>,
    old_until: Option<i64>,
    old_ends_on_use: i64,
    rotated_at: Option<i64>,
    created_at: i64,
    expires_at: Option<i64>,
    active: i64,
    scopes: Option<String>,
    last_at: Option<i64>,
    address: Option<String>,
    agent: Option<String>,
    previous_last_at: Option<i64>,
    previous_address: Option<String>,
    previous_agent: Option<String>,
}

impl KeyRow {
    /// Returns `None` if the id cannot be parsed.
    fn into_key(self) -> Option<ApiKey> {
        let rotated_at = Timestamp(self.rotated_at.unwrap_or_default());
        let last_of_previous = last_use(self.previous_last_at, self.previous_address, self.previous_agent);
        // An older one was of the secret before the previous one.
        let (previous_at, previous_from) = last_of_previous.filter(|(at, _)| *at > rotated_at).unzip();
        let (last_used_at, last_used_from) = last_use(self.last_at, self.address, self.agent).unzip();
        Some(ApiKey {
            id: KeyId::parse(&self.id)?,
            name: self.name,
            description: self.description,
            last_four: self.last_four,
            previous: self.old_last_four.zip(self.old_until).map(|(last_four, until)| PreviousSecret {
                last_four,
                until: Timestamp(until),
                ends_on_use: self.old_ends_on_use != 0,
                rotated_at,
                last_used_at: previous_at,
                last_used_from: previous_from,
            }),
            created_at: Timestamp(self.created_at),
            expires_at: self.expires_at.map(Timestamp),
            last_used_at,
            last_used_from,
            active: self.active != 0,
            access: Access::from_text(self.scopes.as_deref()),
        })
    }
}

fn last_use(at: Option<i64>, address: Option<String>, agent: Option<String>) -> Option<(Timestamp, String)> {
    let client = ClientName { address: address?, agent: agent? };
    Some((Timestamp(at?), client.to_string()))
}

/// A key to insert.
#[derive(Debug)]
pub struct NewApiKey {
    /// Its id.
    pub id: KeyId,
    /// What is to own it.
    pub owner: KeyOwner,
    /// Its name.
    pub name: KeyName,
    /// Its description.
    pub description: Description,
    /// The digest of its secret.
    pub digest: SecretDigest,
    /// The last four characters of its secret.
    pub last_four: String,
    /// The prefix of its secret.
    pub prefix: String,
    /// When it expires; `None` means never.
    pub expires_at: Option<Timestamp>,
    /// What it is to have access to.
    pub access: Access,
}

/// The outcome of changing a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The change was applied.
    Done,
    /// The account has no such key.
    NotFound,
    /// Another key of the account has the same name.
    Taken,
    /// The account has reached its limit of keys.
    LimitReached,
    /// The key has expired.
    Expired,
    /// The new expiry is not later than the current one.
    NotLater,
    /// The name entered to confirm the deletion is not the name of the key.
    DoesNotMatch,
    /// The previous secret of the last rotation is still valid.
    Rotating,
}

/// A key, as it is returned to a client that presents it.
#[derive(Clone, Debug, FromRow)]
pub struct KeyById {
    /// Its id.
    pub id: String,
    /// The id of its account.
    pub account_id: String,
    /// The id of its Mecha; `None` if the account itself owns it.
    pub mecha_id: Option<String>,
    /// The name of its Mecha.
    pub mecha_name: Option<String>,
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// The scopes that it is restricted to, separated by spaces; `None` means access to everything.
    pub scopes: Option<String>,
    /// When it was created, in milliseconds since 1970.
    pub created_at: i64,
    /// When it expires, in milliseconds since 1970; `None` means never.
    pub expires_at: Option<i64>,
    /// When it was last allowed, as of the last flush of usage, in milliseconds since 1970.
    pub last_used_at: Option<i64>,
}

impl Store {
    /// All keys of an owner, newest first, with the expired ones last.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn keys(
        &self,
        account: &AccountId,
        owner: &KeyOwner,
        now: Timestamp,
    ) -> Result<Vec<ApiKey>, StoreError> {
        list(&self.read, account, owner, now).await
    }

    /// The number of all keys of an account, expired ones and those of its Mechas included.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn key_count_of(&self, account: &AccountId) -> Result<usize, StoreError> {
        let keys: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM api_keys WHERE account_id = $1")
            .bind(&account.0)
            .fetch_one(&self.read)
            .await?;
        Ok(usize::try_from(keys).unwrap_or_default())
    }

    /// The key with this id, of any account.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn key_by_id(&self, key: &KeyId) -> Result<Option<KeyById>, StoreError> {
        Ok(sqlx::query_as(
            "SELECT k.id, k.account_id, k.mecha_id, m.name AS mecha_name, k.name, k.description, k.scopes,
                    k.created_at, k.expires_at, u.last_at AS last_used_at
             FROM api_keys k LEFT JOIN api_key_last_uses u ON u.key_id = k.id
                  LEFT JOIN mechas m ON m.id = k.mecha_id WHERE k.id = $1",
        )
        .bind(key.as_str())
        .fetch_optional(&self.read)
        .await?)
    }
}

/// All keys of an owner, newest first, with the expired ones last.
pub(crate) async fn list<'e>(
    executor: impl Executor<'e, Database = super::Db>,
    account: &AccountId,
    owner: &KeyOwner,
    now: Timestamp,
) -> Result<Vec<ApiKey>, StoreError> {
    let rows: Vec<KeyRow> = sqlx::query_as(select_keys!(
        "WHERE k.account_id = $1 AND COALESCE(k.mecha_id, '') = $3
             ORDER BY CASE WHEN k.expires_at <= $2 THEN 1 ELSE 0 END, k.created_at DESC, k.id DESC"
    ))
    .bind(&account.0)
    .bind(now.0)
    .bind(mecha_of(owner))
    .fetch_all(executor)
    .await?;
    Ok(rows.into_iter().filter_map(KeyRow::into_key).collect())
}

/// The id of a Mecha; empty for an account.
fn mecha_of(owner: &KeyOwner) -> &str {
    owner.mecha().map_or("", MechaId::as_str)
}

/// The name of a key as it is compared: unique within the account, and therefore with the Mecha.
fn folded_name(owner: &KeyOwner, name: &KeyName) -> String {
    let folded = fold(name.as_str());
    owner.mecha().map_or_else(|| folded.clone(), |mecha| format!("{}/{folded}", mecha.as_str()))
}

/// What owns a key of the account, and what its owner can edit, before a change.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyDetails {
    /// What owns the key.
    pub owner: KeyOwner,
    /// The name of the Mecha that owns it; empty if the account does.
    pub mecha: String,
    /// The name of the key.
    pub name: String,
    /// The description of the key.
    pub description: String,
    /// What the key has access to.
    pub access: Access,
}

/// Reads the details of a key of the account.
pub(crate) async fn details(
    tx: &mut Tx,
    account: &AccountId,
    key: &KeyId,
) -> Result<Option<KeyDetails>, StoreError> {
    let row: Option<DetailsRow> = sqlx::query_as(
        "SELECT k.mecha_id, m.name AS mecha_name, k.name, k.description, k.scopes
         FROM api_keys k LEFT JOIN mechas m ON m.id = k.mecha_id
         WHERE k.id = $1 AND k.account_id = $2",
    )
    .bind(key.as_str())
    .bind(&account.0)
    .fetch_optional(&mut **tx)
    .await?;
    Ok(row.map(|row| KeyDetails {
        owner: row.mecha_id.and_then(|id| MechaId::parse(&id)).into(),
        mecha: row.mecha_name.unwrap_or_default(),
        name: row.name,
        description: row.description,
        access: Access::from_text(row.scopes.as_deref()),
    }))
}

#[derive(FromRow)]
struct DetailsRow {
    mecha_id: Option<String>,
    mecha_name: Option<String>,
    name: String,
    description: String,
    scopes: Option<String>,
}

/// Inserts a key, if its owner has fewer than `limit` unexpired keys and no other key with the same name.
pub(crate) async fn insert(
    tx: &mut Tx,
    account: &AccountId,
    new: &NewApiKey,
    limit: u32,
    now: Timestamp,
) -> Result<Change, StoreError> {
    let name_folded = folded_name(&new.owner, &new.name);
    let inserted = sqlx::query(
        "INSERT INTO api_keys (id, account_id, name, name_folded, description, secret_digest, last_four,
                               created_at, expires_at, prefix, mecha_id, scopes)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $11, NULLIF($12, ''), $13
         WHERE (SELECT count(*) FROM api_keys
                WHERE account_id = $2 AND COALESCE(mecha_id, '') = $12
                  AND (expires_at IS NULL OR expires_at > $8)) < $10
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
    .bind(i64::from(limit))
    .bind(&new.prefix)
    .bind(mecha_of(&new.owner))
    .bind(new.access.to_text())
    .execute(&mut **tx)
    .await?;
    if inserted.rows_affected() == 1 {
        return Ok(Change::Done);
    }
    let live: i64 = sqlx::query_scalar(
        "SELECT count(*) FROM api_keys
         WHERE account_id = $1 AND COALESCE(mecha_id, '') = $3 AND (expires_at IS NULL OR expires_at > $2)",
    )
    .bind(&account.0)
    .bind(now.0)
    .bind(mecha_of(&new.owner))
    .fetch_one(&mut **tx)
    .await?;
    Ok(if live >= i64::from(limit) { Change::LimitReached } else { Change::Taken })
}

/// Renames a key. The new name may be another spelling of the current name.
pub(crate) async fn rename(
    tx: &mut Tx,
    account: &AccountId,
    key: &KeyId,
    name: &KeyName,
) -> Result<Change, StoreError> {
    let Some(KeyDetails { owner, .. }) = details(tx, account, key).await? else {
        return Ok(Change::NotFound);
    };
    let name_folded = folded_name(&owner, name);
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

/// Sets the description of a key, and what it has access to.
pub(crate) async fn set_description_and_access(
    tx: &mut Tx,
    account: &AccountId,
    key: &KeyId,
    description: &Description,
    access: &Access,
) -> Result<Change, StoreError> {
    let described =
        sqlx::query("UPDATE api_keys SET description = $3, scopes = $4 WHERE id = $1 AND account_id = $2")
            .bind(key.as_str())
            .bind(&account.0)
            .bind(description.as_str())
            .bind(access.to_text())
            .execute(&mut **tx)
            .await?;
    Ok(if described.rows_affected() == 1 { Change::Done } else { Change::NotFound })
}

/// Moves the expiry of a key that has not expired to a later time; `None` means never.
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

/// Activates or deactivates a key that has not expired.
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

/// Deletes a key, if `is_named` accepts its name.
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

/// Deletes keys that expired at `ended_by` or earlier, and previous secrets whose grace period ended by then.
pub(crate) async fn delete_expired(tx: &mut Tx, ended_by: Timestamp) -> Result<(), StoreError> {
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

/// Reads a key of the account within the transaction that changes it.
async fn find(tx: &mut Tx, account: &AccountId, key: &KeyId) -> Result<Option<KeyRow>, StoreError> {
    Ok(sqlx::query_as(select_keys!("WHERE k.id = $1 AND k.account_id = $2"))
        .bind(key.as_str())
        .bind(&account.0)
        .fetch_optional(&mut **tx)
        .await?)
}
