//! SQLite: one file, one process.

use crate::store::{ACQUIRE_TIMEOUT, StoreError, is_idle};
use sqlx::AnyPool;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor};
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("./migrations/sqlite");

/// How long SQLite waits for another process that holds its lock.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(4);
/// Another process holds SQLite's lock (sqlite.org/rescode.html#busy).
const SQLITE_BUSY: &str = "5";
const READERS: u32 = 4;
/// What each connection is told first.
///
/// FULL: what was acknowledged is on the disk, also after a power failure. And where nothing but the database may be
/// written, there is no place for temporary files.
const SETTINGS: &str = "PRAGMA busy_timeout = 4000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;";

/// Opens a database, which is made if it is not there, and brings its tables up to date: readers and writer.
pub(super) async fn open(url: &str) -> Result<(AnyPool, AnyPool), StoreError> {
    make_private(&file_of(url)?)?;
    let options = AnyConnectOptions::from_str(url)?.disable_statement_logging();
    let pool = AnyPoolOptions::new()
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(|connection, _| Box::pin(async { connection.execute(SETTINGS).await.map(drop) }))
        .before_acquire(|connection, _| is_idle(connection));
    // One connection: SQLite has one writer at a time, and waiting for a turn in a pool is fair, where waiting for
    // SQLite's lock is not.
    let write = open_first(&pool.clone().max_connections(1), &options).await?;
    // All of them or none, and whoever starts at the same time waits: SQLite has no other lock for them.
    let mut migration = write.begin_with("BEGIN IMMEDIATE").await?;
    MIGRATIONS.run_direct(None, &mut *migration, false).await?;
    migration.commit().await?;
    let read = pool.max_connections(READERS).connect_with(options).await?;
    Ok((read, write))
}

/// Opens the first connection, which turns on WAL. While another process does the same SQLite fails at once instead of
/// waiting as for any other lock, so the waiting is done here.
async fn open_first(pool: &AnyPoolOptions, options: &AnyConnectOptions) -> Result<AnyPool, StoreError> {
    let began = Instant::now();
    loop {
        match pool.clone().connect_with(options.clone()).await {
            Err(sqlx::Error::Database(error))
                if error.code().is_some_and(|code| code == SQLITE_BUSY) && began.elapsed() < BUSY_TIMEOUT =>
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            opened => return Ok(opened?),
        }
    }
}

/// The right to serve a database, for as long as it is kept.
#[derive(Debug)]
pub struct Claim {
    _file: Option<File>,
}

impl Claim {
    /// Claims a database. What one process has in memory would not follow what another commits to a file; to
    /// PostgreSQL many nodes may commit, and nothing is claimed.
    ///
    /// # Errors
    /// [`StoreError::Served`] if another process has claimed it.
    pub fn of(url: &str) -> Result<Self, StoreError> {
        if super::postgres::is_meant_by(url) {
            return Ok(Self { _file: None });
        }
        let path = beside(&file_of(url)?, ".lock");
        make_private(&path)?;
        let failed = |error| StoreError::File { path: path.display().to_string(), error };
        let file = File::open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Served),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

/// The file of a database.
///
/// # Errors
/// `DATABASE_URL` is of a kind that has no file.
pub fn file_of(url: &str) -> Result<PathBuf, StoreError> {
    if super::postgres::is_meant_by(url) || url.contains(":memory:") {
        return Err(StoreError::NoFile);
    }
    if !url.starts_with("sqlite:") {
        return Err(StoreError::UnknownDatabase);
    }
    Ok(SqliteConnectOptions::from_str(url)?.get_filename().to_owned())
}

/// The file with this at the end of its name.
#[must_use]
pub fn beside(file: &Path, end: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(end);
    name.into()
}

/// Makes the database file, if there is none, readable and writable by its owner only. SQLite gives the
/// files beside it (`-wal`, `-shm`) the same mode.
fn make_private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let failed = |error| StoreError::File { path: path.display().to_string(), error };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    // A file that is there must not be opened here: closing it again would drop all locks that SQLite holds on it in
    // this process (POSIX, fcntl).
    match std::fs::OpenOptions::new().append(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => give_to_owner(path, path),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)
}

/// Gives a new file to whoever owns the one whose place it takes, or else the folder: what root makes for a service that
/// runs as somebody else, the service must be able to use.
pub(crate) fn give_to_owner(new: &Path, old: &Path) {
    use std::os::unix::fs::MetadataExt;
    let of = |path: &Path| std::fs::metadata(path).ok();
    let owner = of(old)
        .filter(|_| old != new)
        .or_else(|| of(old.parent().filter(|it| !it.as_os_str().is_empty())?));
    if let (Some(owner), Some(own)) = (owner, of(new))
        && (owner.uid(), owner.gid()) != (own.uid(), own.gid())
        && let Err(error) = std::os::unix::fs::chown(new, Some(owner.uid()), Some(owner.gid()))
    {
        // Only root may; anybody else can use what they made.
        tracing::debug!(%error, path = %new.display(), "the file stays its maker's");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_served_by_one_process_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("data/console.db").display());
        let first = Claim::of(&url).unwrap();
        assert!(matches!(Claim::of(&url), Err(StoreError::Served)));
        drop(first);
        assert!(Claim::of(&url).is_ok());
    }
}
