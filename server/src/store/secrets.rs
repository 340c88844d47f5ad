//! The digests of secrets, as they are held in memory.

use super::{Db, Store, StoreError, Tx};
use crate::verification::index::{Entry, Index};
use crate::verification::parse_id;
use app::domain::account::AccountId;
use app::domain::timestamp::Timestamp;
use sqlx::Executor;
use sqlx::sqlite::{SqlitePool, SqlitePoolOptions};

/// What the index has of a secret, by its digest.
pub(crate) type Secret = ([u8; 32], Entry);

/// What the index has of a key, as a line of text.
///
/// A million rows of nine columns take three times as long to come through the driver as to be read; packed,
/// [`ROWS`] of them come as one. `printf` writes NULL as 0 or as nothing, and a name has no line break.
macro_rules! packed {
    ($from:literal) => {
        concat!(
            "SELECT group_concat(printf('%s%s%s%d %d%d%s %s', id, account_id, hex(secret_digest), expires_at, active,
                    old_ends_on_use, CASE WHEN old_until > 0 THEN hex(old_digest) || old_until END, name), char(10)),
                    COALESCE(MAX(rowid), 0)
             FROM ",
            $from
        )
    };
}

/// Keys that are read at once.
const ROWS: i64 = 1_000;
/// Tasks that read at once.
const TASKS: i64 = 2;

impl Store {
    /// All secrets.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be a secret.
    pub async fn secrets(&self) -> Result<Index, StoreError> {
        let (rows, last): (i64, i64) =
            sqlx::query_as("SELECT COUNT(*), COALESCE(MAX(rowid), 0) FROM api_keys")
                .fetch_one(&self.read)
                .await?;
        // Connections of their own, which keep little of what they have read: nobody reads it again.
        let options = (*self.read.connect_options()).clone().pragma("cache_size", "-256");
        let pool = SqlitePoolOptions::new().connect_with(options).await?;
        let index = Index::with_capacity(usize::try_from(rows).unwrap_or_default());
        let each = last / TASKS + 1;
        let parts = (0..TASKS).map(|task| fill(&pool, &index, task * each, (task + 1) * each));
        futures::future::try_join_all(parts).await?;
        pool.close().await;
        Ok(index)
    }

    /// The secrets of an account.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be a secret.
    pub(crate) async fn secrets_of(&self, account: &AccountId) -> Result<Vec<Secret>, StoreError> {
        of_account(&self.read, account).await
    }
}

/// Takes in the keys of the rows after one and up to another.
async fn fill(pool: &SqlitePool, index: &Index, mut after: i64, last: i64) -> Result<(), StoreError> {
    while after < last {
        let (lines, read): (Option<String>, i64) = sqlx::query_as(packed!(
            "(SELECT rowid, * FROM api_keys WHERE rowid > $1 AND rowid <= $2 ORDER BY rowid LIMIT $3)"
        ))
        .bind(after)
        .bind(last)
        .bind(ROWS)
        .fetch_one(pool)
        .await?;
        let Some(lines) = lines else { break };
        for (digest, entry) in unpack(&lines)? {
            index.put(&digest, &entry);
        }
        after = read;
    }
    Ok(())
}

/// The secrets of an account.
pub(crate) async fn of_account<'e>(
    executor: impl Executor<'e, Database = Db>,
    account: &AccountId,
) -> Result<Vec<Secret>, StoreError> {
    let (lines, _): (Option<String>, i64) = sqlx::query_as(packed!("api_keys WHERE account_id = $1"))
        .bind(&account.0)
        .fetch_one(executor)
        .await?;
    unpack(&lines.unwrap_or_default())
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

fn unpack(lines: &str) -> Result<Vec<Secret>, StoreError> {
    let mut secrets = Vec::new();
    for line in lines.lines() {
        let (current, old) = key(line).ok_or(StoreError::Corrupt)?;
        secrets.push(current);
        secrets.extend(old);
    }
    Ok(secrets)
}

/// The one or two secrets of a key.
fn key(line: &str) -> Option<(Secret, Option<Secret>)> {
    let (id, rest) = line.split_at_checked(32)?;
    let (account, rest) = rest.split_at_checked(32)?;
    let (digest, rest) = rest.split_at_checked(64)?;
    let mut rest = rest.splitn(3, ' ');
    let (expires_at, flags, name) = (rest.next()?, rest.next()?, rest.next()?);
    let (flags, old) = flags.split_at_checked(2)?;
    let expires_at = Some(Timestamp(expires_at.parse().ok()?)).filter(|at| at.0 != 0);
    let current = Entry {
        key: parse_id(id)?,
        account: parse_id(account)?,
        name: name.to_owned(),
        until: expires_at,
        active: flags.starts_with('1'),
        is_old: false,
        retires: false,
        ends_old: flags.ends_with('1'),
    };
    let old = match old.split_at_checked(64) {
        None => None,
        Some((digest, until)) => {
            let ends = Timestamp(until.parse().ok()?);
            let retires = expires_at.is_none_or(|at| ends < at);
            let until = if retires { Some(ends) } else { expires_at };
            let entry = Entry { until, is_old: true, retires, ends_old: false, ..current.clone() };
            Some((parse_digest(digest)?, entry))
        }
    };
    Some(((parse_digest(digest)?, current), old))
}

fn parse_digest(hex: &str) -> Option<[u8; 32]> {
    let (high, low) = hex.split_at_checked(32)?;
    let mut digest = [0; 32];
    let (first, second) = digest.split_at_mut(16);
    first.copy_from_slice(&parse_id(high)?);
    second.copy_from_slice(&parse_id(low)?);
    Some(digest)
}
