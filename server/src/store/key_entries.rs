//! The digests of secrets, as they are held in memory.

use crate::ids::parse_id;
use crate::key_entry::KeyEntry;
use crate::store::{Store, StoreError, Tx, is_postgres, postgres, sqlite, with_timeout};
use app::domain::account::AccountId;
use app::domain::timestamp::Timestamp;
use futures::TryStreamExt;
use sqlx::AnyConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{ConnectOptions, Connection};
use std::time::Duration;

/// What the index has of a secret, by its digest.
pub(crate) type Secret = ([u8; 32], KeyEntry);

/// What the index has of a key, as a line of text, in the words of SQLite.
///
/// A million rows of nine columns take three times as long to come through the driver as to be read; packed,
/// [`ROWS`] of them come as one. `printf` writes NULL as 0 or as nothing, and a name has no line break.
macro_rules! in_sqlite {
    () => {
        "printf('%s%s%s%d %d%d%d%s %s', id, account_id, hex(secret_digest), expires_at, active, old_ends_on_use,
                old_ended, CASE WHEN old_until > 0 THEN hex(old_digest) || old_until END, name)"
    };
}

/// The same line in the words of PostgreSQL, of the table `k`.
macro_rules! in_postgres {
    () => {
        "concat(k.id, k.account_id, encode(k.secret_digest, 'hex'), COALESCE(k.expires_at, 0), ' ', k.active,
                k.old_ends_on_use, k.old_ended, CASE WHEN k.old_until > 0 THEN encode(k.old_digest, 'hex') || k.old_until END,
                ' ', k.name)"
    };
}
pub(super) use in_postgres;

/// Keys that are read at once.
const ROWS: i64 = 1_000;
/// How long the next of all keys may take to come.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Tasks that read at once.
const TASKS: i64 = 2;

impl Store {
    /// Reads the secrets of all keys, and passes each to `put`.
    ///
    /// # Errors
    /// The database does not respond, or a row cannot be read.
    pub(crate) async fn read_key_entries(
        &self,
        put: &(impl Fn(&[u8; 32], &KeyEntry) + Sync),
    ) -> Result<(), StoreError> {
        if self.is_shared() { copy_all(&self.url, put).await } else { read_all(&self.url, put).await }
    }

    /// The secrets of an account.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be a secret.
    pub(crate) async fn secrets_of(&self, account: &AccountId) -> Result<Vec<Secret>, StoreError> {
        of_account(&mut *self.read.acquire().await?, account).await
    }

    /// What the database knows of the secret with this digest.
    ///
    /// # Errors
    /// The database does not answer, or holds what cannot be a secret.
    pub(crate) async fn find_secret(&self, digest: &[u8; 32]) -> Result<Option<KeyEntry>, StoreError> {
        let lines: Option<String> = sqlx::query_scalar(concat!(
            "SELECT ",
            in_postgres!(),
            " FROM api_keys k WHERE k.secret_digest = $1 OR k.old_digest = $1"
        ))
        .bind(digest.as_slice())
        .fetch_optional(&self.read)
        .await?;
        let secrets = unpack(&lines.unwrap_or_default())?;
        Ok(secrets.into_iter().find(|(found, _)| found == digest).map(|(_, entry)| entry))
    }

    /// How many keys there are, about.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn key_count(&self) -> Result<usize, StoreError> {
        let keys: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM api_keys").fetch_one(&self.read).await?;
        Ok(usize::try_from(keys).unwrap_or_default())
    }
}

/// Reads a file, some rows at once.
async fn read_all(url: &str, put: &impl Fn(&[u8; 32], &KeyEntry)) -> Result<(), StoreError> {
    // Connections of their own, which keep little of what they have read: nobody reads it again.
    let options = SqliteConnectOptions::new()
        .filename(sqlite::file_of(url)?)
        .busy_timeout(sqlite::BUSY_TIMEOUT)
        .pragma("temp_store", "memory")
        .pragma("cache_size", "-256")
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new().connect_with(options).await?;
    let last: i64 =
        sqlx::query_scalar("SELECT COALESCE(MAX(rowid), 0) FROM api_keys").fetch_one(&pool).await?;
    let each = last / TASKS + 1;
    let parts = (0..TASKS).map(|task| read_rows(&pool, put, task * each, (task + 1) * each));
    futures::future::try_join_all(parts).await?;
    pool.close().await;
    Ok(())
}

/// Reads the keys of the rows after one and up to another.
async fn read_rows(
    pool: &SqlitePool,
    put: &impl Fn(&[u8; 32], &KeyEntry),
    mut after: i64,
    last: i64,
) -> Result<(), StoreError> {
    while after < last {
        let (lines, read): (Option<String>, i64) = sqlx::query_as(concat!(
            "SELECT group_concat(",
            in_sqlite!(),
            ", char(10)), COALESCE(MAX(rowid), 0)
             FROM (SELECT rowid, * FROM api_keys WHERE rowid > $1 AND rowid <= $2 ORDER BY rowid LIMIT $3)"
        ))
        .bind(after)
        .bind(last)
        .bind(ROWS)
        .fetch_one(pool)
        .await?;
        let Some(lines) = lines else { break };
        for (digest, entry) in unpack(&lines)? {
            put(&digest, &entry);
        }
        after = read;
    }
    Ok(())
}

/// Reads a whole table in the one way that PostgreSQL has for it.
async fn copy_all(url: &str, put: &impl Fn(&[u8; 32], &KeyEntry)) -> Result<(), StoreError> {
    let mut connection = postgres::options(url)?.connect().await?;
    let mut rows = connection
        .copy_out_raw(concat!("COPY (SELECT ", in_postgres!(), " FROM api_keys k) TO STDOUT"))
        .await?;
    while let Some(row) = with_timeout(TIMEOUT, rows.try_next()).await? {
        let line = std::str::from_utf8(&row).map_err(|_| StoreError::Corrupt)?;
        // COPY writes a backslash as two; of what else it writes so, a name has nothing.
        let line = if line.contains('\\') { &line.replace("\\\\", "\\") } else { line };
        for (digest, entry) in unpack(line)? {
            put(&digest, &entry);
        }
    }
    drop(rows);
    Ok(connection.close().await?)
}

/// The secrets of an account.
pub(crate) async fn of_account(
    connection: &mut AnyConnection,
    account: &AccountId,
) -> Result<Vec<Secret>, StoreError> {
    let select = if is_postgres(connection) {
        concat!("SELECT string_agg(", in_postgres!(), ", chr(10)) FROM api_keys k WHERE k.account_id = $1")
    } else {
        concat!("SELECT group_concat(", in_sqlite!(), ", char(10)) FROM api_keys WHERE account_id = $1")
    };
    let lines: Option<String> = sqlx::query_scalar(select).bind(&account.0).fetch_one(connection).await?;
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

/// What these lines say.
pub(super) fn unpack(lines: &str) -> Result<Vec<Secret>, StoreError> {
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
    let (flags, old) = flags.split_at_checked(3)?;
    let (flags, ended) = flags.split_at_checked(2)?;
    let expires_at = Some(Timestamp(expires_at.parse().ok()?)).filter(|at| at.0 != 0);
    let current = KeyEntry {
        key: parse_id(id)?,
        account: parse_id(account)?,
        name: name.to_owned(),
        until: expires_at,
        active: flags.starts_with('1'),
        is_previous: false,
        is_retired_at_until: false,
        retires_previous: flags.ends_with('1'),
    };
    let old = match old.split_at_checked(64) {
        None => None,
        Some((digest, until)) => {
            // What was ended is over whatever this machine's clock says.
            let ends = if ended == "1" { Timestamp(0) } else { Timestamp(until.parse().ok()?) };
            let is_retired_at_until = expires_at.is_none_or(|at| ends < at);
            let until = if is_retired_at_until { Some(ends) } else { expires_at };
            let entry = KeyEntry {
                until,
                is_previous: true,
                is_retired_at_until,
                retires_previous: false,
                ..current.clone()
            };
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
