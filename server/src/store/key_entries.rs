//! Reads the entries of the key cache from the database.

use crate::ids::{parse_digest, parse_id};
use crate::key_entry::{EntryMecha, KeyEntry};
use crate::store::{Store, StoreError, Tx, is_postgres, postgres, sqlite, with_timeout};
use app::domain::account::AccountId;
use app::domain::timestamp::Timestamp;
use futures::TryStreamExt;
use sqlx::AnyConnection;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use sqlx::{ConnectOptions, Connection};
use std::time::Duration;

/// The digest of a secret and its entry in the key cache.
pub(crate) type Secret = ([u8; 32], KeyEntry);

/// The SQLite expression that packs the entries of one key into one line of text. [`parse_line`] parses it.
///
/// Passing a million rows of nine columns through the driver takes three times as long as reading them. Packed,
/// [`BATCH_SIZE`] keys are one row. `printf` formats NULL as 0 or as an empty string. A name contains no line break.
macro_rules! sqlite_line {
    () => {
        "printf('%s%s%s%d %d%d%d%d%s %s%s', id, account_id, hex(secret_digest), expires_at, active, old_ends_on_use,
                old_ended, CASE WHEN mecha_id IS NULL THEN 1 ELSE COALESCE(mecha_active, 0) END,
                CASE WHEN old_until > 0 THEN hex(old_digest) || old_until END, name,
                COALESCE(char(9) || mecha_id || mecha_name, '') || COALESCE(char(9, 9) || scopes, ''))"
    };
}

/// The SQLite columns that [`sqlite_line`] reads.
macro_rules! sqlite_keys {
    () => {
        "SELECT k.rowid AS row, k.*, m.name AS mecha_name, m.active AS mecha_active
         FROM api_keys k LEFT JOIN mechas m ON m.id = k.mecha_id "
    };
}

/// The PostgreSQL expression for the same line, for the tables in [`postgres_keys`].
macro_rules! postgres_line {
    () => {
        "concat(k.id, k.account_id, encode(k.secret_digest, 'hex'), COALESCE(k.expires_at, 0), ' ',
                k.active, k.old_ends_on_use, k.old_ended,
                CASE WHEN k.mecha_id IS NULL THEN 1 ELSE COALESCE(m.active, 0) END,
                CASE WHEN k.old_until > 0 THEN encode(k.old_digest, 'hex') || k.old_until END,
                ' ', k.name, chr(9) || k.mecha_id || m.name, chr(9) || chr(9) || k.scopes)"
    };
}
pub(super) use postgres_line;

/// The PostgreSQL tables that [`postgres_line`] reads.
macro_rules! postgres_keys {
    () => {
        " FROM api_keys k LEFT JOIN mechas m ON m.id = k.mecha_id "
    };
}
pub(super) use postgres_keys;

/// Number of keys in one row of a SQLite result.
const BATCH_SIZE: i64 = 1_000;
/// Timeout for each row of PostgreSQL's `COPY`.
const ROW_TIMEOUT: Duration = Duration::from_secs(10);
/// Number of concurrent reads of a SQLite file.
const TASKS: i64 = 2;

impl Store {
    /// Reads the entries of all secrets and passes each to `insert`.
    ///
    /// # Errors
    /// The database does not respond, or a row cannot be parsed.
    pub(crate) async fn read_key_entries(
        &self,
        insert: &(impl Fn(&[u8; 32], &KeyEntry) + Sync),
    ) -> Result<(), StoreError> {
        if self.is_shared() { copy_all(&self.url, insert).await } else { read_all(&self.url, insert).await }
    }

    /// The entries of all secrets of an account.
    ///
    /// # Errors
    /// The database does not respond, or a row cannot be parsed.
    pub(crate) async fn key_entries_of(&self, account: &AccountId) -> Result<Vec<Secret>, StoreError> {
        of_account(&mut *self.read.acquire().await?, account).await
    }

    /// The entry of the secret with this digest. Returns `None` if no key has it.
    ///
    /// # Errors
    /// The database does not respond, or a row cannot be parsed.
    pub(crate) async fn find_key_entry(&self, digest: &[u8; 32]) -> Result<Option<KeyEntry>, StoreError> {
        let lines: Option<String> = sqlx::query_scalar(concat!(
            "SELECT ",
            postgres_line!(),
            postgres_keys!(),
            "WHERE k.secret_digest = $1 OR k.old_digest = $1"
        ))
        .bind(digest.as_slice())
        .fetch_optional(&self.read)
        .await?;
        let secrets = parse_lines(&lines.unwrap_or_default())?;
        Ok(secrets.into_iter().find(|(found, _)| found == digest).map(|(_, entry)| entry))
    }

    /// The number of keys, expired ones included. It may change at any time.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn key_count(&self) -> Result<usize, StoreError> {
        let keys: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM api_keys").fetch_one(&self.read).await?;
        Ok(usize::try_from(keys).unwrap_or_default())
    }
}

/// Reads all keys of a SQLite file.
async fn read_all(url: &str, insert: &impl Fn(&[u8; 32], &KeyEntry)) -> Result<(), StoreError> {
    // A separate pool with a small page cache: each page is read only once.
    let options = SqliteConnectOptions::new()
        .filename(sqlite::database_path(url)?)
        .busy_timeout(sqlite::BUSY_TIMEOUT)
        .pragma("temp_store", "memory")
        .pragma("cache_size", "-256")
        .disable_statement_logging();
    let pool = SqlitePoolOptions::new().connect_with(options).await?;
    let last: i64 =
        sqlx::query_scalar("SELECT COALESCE(MAX(rowid), 0) FROM api_keys").fetch_one(&pool).await?;
    let share = last / TASKS + 1;
    let reads = (0..TASKS).map(|task| read_rows(&pool, insert, task * share, (task + 1) * share));
    futures::future::try_join_all(reads).await?;
    pool.close().await;
    Ok(())
}

/// Reads the keys whose row id is greater than `after` and at most `last`.
async fn read_rows(
    pool: &SqlitePool,
    insert: &impl Fn(&[u8; 32], &KeyEntry),
    mut after: i64,
    last: i64,
) -> Result<(), StoreError> {
    while after < last {
        let (lines, last_read): (Option<String>, i64) = sqlx::query_as(concat!(
            "SELECT group_concat(",
            sqlite_line!(),
            ", char(10)), COALESCE(MAX(row), 0) FROM (",
            sqlite_keys!(),
            "WHERE k.rowid > $1 AND k.rowid <= $2 ORDER BY k.rowid LIMIT $3)"
        ))
        .bind(after)
        .bind(last)
        .bind(BATCH_SIZE)
        .fetch_one(pool)
        .await?;
        let Some(lines) = lines else { break };
        for (digest, entry) in parse_lines(&lines)? {
            insert(&digest, &entry);
        }
        after = last_read;
    }
    Ok(())
}

/// Reads all keys of a PostgreSQL database with one `COPY` statement.
async fn copy_all(url: &str, insert: &impl Fn(&[u8; 32], &KeyEntry)) -> Result<(), StoreError> {
    let mut connection = postgres::options(url)?.connect().await?;
    let mut rows = connection
        .copy_out_raw(concat!("COPY (SELECT ", postgres_line!(), postgres_keys!(), ") TO STDOUT"))
        .await?;
    while let Some(row) = with_timeout(ROW_TIMEOUT, rows.try_next()).await? {
        let line = std::str::from_utf8(&row).map_err(|_| StoreError::Corrupt)?;
        // COPY escapes the tabs before a Mecha and before scopes, and doubles a backslash. No name contains a control character.
        let line = if line.contains('\\') { &unescape(line) } else { line };
        for (digest, entry) in parse_lines(line)? {
            insert(&digest, &entry);
        }
    }
    drop(rows);
    Ok(connection.close().await?)
}

/// The entries of all secrets of an account.
pub(crate) async fn of_account(
    connection: &mut AnyConnection,
    account: &AccountId,
) -> Result<Vec<Secret>, StoreError> {
    let select = if is_postgres(connection) {
        concat!(
            "SELECT string_agg(",
            postgres_line!(),
            ", chr(10))",
            postgres_keys!(),
            "WHERE k.account_id = $1"
        )
    } else {
        concat!(
            "SELECT group_concat(",
            sqlite_line!(),
            ", char(10)) FROM (",
            sqlite_keys!(),
            "WHERE k.account_id = $1)"
        )
    };
    let lines: Option<String> = sqlx::query_scalar(select).bind(&account.0).fetch_one(connection).await?;
    parse_lines(&lines.unwrap_or_default())
}

/// The digests that [`super::api_keys::delete_expired`] removes.
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

/// Parses the lines that the database packed.
///
/// # Errors
/// [`StoreError::Corrupt`] if a line cannot be parsed.
pub(super) fn parse_lines(lines: &str) -> Result<Vec<Secret>, StoreError> {
    let mut secrets = Vec::new();
    for line in lines.lines() {
        let (current, previous) = parse_line(line).ok_or(StoreError::Corrupt)?;
        secrets.push(current);
        secrets.extend(previous);
    }
    Ok(secrets)
}

/// Parses the current secret of a key and, if it has one, its previous secret.
fn parse_line(line: &str) -> Option<(Secret, Option<Secret>)> {
    let (id, line) = line.split_at_checked(32)?;
    let (account, line) = line.split_at_checked(32)?;
    let (digest, line) = line.split_at_checked(64)?;
    let mut fields = line.splitn(3, ' ');
    let (expires_at, flags, name) = (fields.next()?, fields.next()?, fields.next()?);
    let (flags, previous) = flags.split_at_checked(4)?;
    let (flags, mecha_active) = flags.split_at_checked(3)?;
    let mecha_active = mecha_active == "1";
    let (name, scopes) =
        name.split_once("\t\t").map_or((name, None), |(name, scopes)| (name, Some(scopes.into())));
    let (name, mecha) = match name.split_once('\t') {
        None => (name, None),
        Some((name, mecha)) => {
            let (id, mecha) = mecha.split_at_checked(32)?;
            (
                name,
                Some(Box::new(EntryMecha {
                    id: parse_id(id)?,
                    active: mecha_active,
                    name: mecha.to_owned(),
                })),
            )
        }
    };
    let (flags, is_retired) = flags.split_at_checked(2)?;
    let has_mecha = mecha.is_some();
    let expires_at = Some(Timestamp(expires_at.parse().ok()?)).filter(|at| at.0 != 0);
    let current = KeyEntry {
        key: parse_id(id)?,
        account: parse_id(account)?,
        name: name.to_owned(),
        mecha,
        scopes,
        until: expires_at,
        // A key whose Mecha is missing is denied: nobody could revoke it.
        active: flags.starts_with('1') && (mecha_active || has_mecha),
        is_previous: false,
        is_retired_at_until: false,
        retires_previous: flags.ends_with('1'),
    };
    let previous = match previous.split_at_checked(64) {
        None => None,
        Some((digest, until)) => {
            // A secret that was retired early is invalid whatever time this machine's clock shows.
            let retired_at = if is_retired == "1" { Timestamp(0) } else { Timestamp(until.parse().ok()?) };
            let is_retired_at_until = expires_at.is_none_or(|at| retired_at < at);
            let until = if is_retired_at_until { Some(retired_at) } else { expires_at };
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
    Some(((parse_digest(digest)?, current), previous))
}

/// Reverses the escapes of `COPY` for a backslash and a tab.
fn unescape(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        text.push(match character {
            '\\' => match characters.next() {
                Some('t') => '\t',
                other => other.unwrap_or('\\'),
            },
            other => other,
        });
    }
    text
}
