//! The digests of secrets, as they are held in memory.

use super::{Db, Store, StoreError, Tx};
use crate::verification::index::{Entry, Id, Index};
use crate::verification::parse_id;
use app::domain::account::AccountId;
use app::domain::timestamp::Timestamp;
use futures::TryStreamExt;
use sqlx::sqlite::SqliteRow;
use sqlx::{Executor, Row};

/// What the index has of a secret, by its digest.
pub(crate) type Secret = ([u8; 32], Entry);

macro_rules! select_secrets {
    ($where:literal) => {
        concat!(
            "SELECT id, account_id, name, secret_digest, old_digest, old_until, old_ends_on_use, expires_at,
                    active
             FROM api_keys ",
            $where
        )
    };
}

impl Store {
    /// Fills an index with all secrets.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be a secret.
    pub async fn fill(&self, index: &Index) -> Result<(), StoreError> {
        let mut rows = sqlx::query(select_secrets!("")).fetch(&self.read);
        while let Some(row) = rows.try_next().await? {
            for (digest, entry) in secrets(&row)? {
                index.put(&digest, &entry);
            }
        }
        Ok(())
    }

    /// The secrets of an account.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be a secret.
    pub(crate) async fn secrets_of(&self, account: &AccountId) -> Result<Vec<Secret>, StoreError> {
        of_account(&self.read, account).await
    }
}

/// The secrets of an account.
pub(crate) async fn of_account<'e>(
    executor: impl Executor<'e, Database = Db>,
    account: &AccountId,
) -> Result<Vec<Secret>, StoreError> {
    let rows =
        sqlx::query(select_secrets!("WHERE account_id = $1")).bind(&account.0).fetch_all(executor).await?;
    let mut all = Vec::new();
    for row in rows {
        all.extend(secrets(&row)?);
    }
    Ok(all)
}

/// The digests that [`super::api_keys::clear_ended`] takes away.
pub(crate) async fn ended(tx: &mut Tx, ended_by: Timestamp) -> Result<Vec<[u8; 32]>, StoreError> {
    let rows: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT secret_digest FROM api_keys WHERE expires_at <= $1
         UNION ALL
         SELECT old_digest FROM api_keys WHERE old_digest IS NOT NULL AND (expires_at <= $1 OR old_until <= $1)",
    )
    .bind(ended_by.0)
    .fetch_all(&mut **tx)
    .await?;
    Ok(rows.into_iter().filter_map(|digest| digest.try_into().ok()).collect())
}

/// The one or two secrets of a key.
fn secrets(row: &SqliteRow) -> Result<impl Iterator<Item = Secret> + use<>, StoreError> {
    let id = |column| parse_id(row.get::<&str, _>(column)).ok_or(StoreError::Corrupt(column));
    let digest = |bytes: &[u8], column| bytes.try_into().map_err(|_| StoreError::Corrupt(column));
    let (key, account): (Id, Id) = (id("id")?, id("account_id")?);
    let expires_at = row.try_get::<Option<i64>, _>("expires_at")?.map(Timestamp);
    let old_until = row.try_get::<Option<i64>, _>("old_until")?.map(Timestamp);
    let current = Entry {
        key,
        account,
        name: row.try_get("name")?,
        until: expires_at,
        active: row.try_get("active")?,
        is_old: false,
        retires: false,
        ends_old: old_until.is_some() && row.try_get("old_ends_on_use")?,
    };
    let old = match (row.try_get::<Option<&[u8]>, _>("old_digest")?, old_until) {
        (Some(bytes), Some(until)) => {
            let retires = expires_at.is_none_or(|at| until < at);
            let until = Some(if retires { until } else { expires_at.unwrap_or(until) });
            let entry = Entry { until, is_old: true, retires, ends_old: false, ..current.clone() };
            Some((digest(bytes, "old_digest")?, entry))
        }
        _ => None,
    };
    let current = (digest(row.try_get("secret_digest")?, "secret_digest")?, current);
    Ok(std::iter::once(current).chain(old))
}
