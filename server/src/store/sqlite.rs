//! SQLite: one file, served by one process.

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

/// How long SQLite waits for a lock that another process holds.
pub(super) const BUSY_TIMEOUT: Duration = Duration::from_secs(4);
/// Result code: another process holds the lock (sqlite.org/rescode.html#busy).
const SQLITE_BUSY: &str = "5";
/// Maximum number of connections in the read pool.
const READERS: u32 = 4;
/// The settings of each new connection.
///
/// `synchronous = FULL`: a commit that was acknowledged survives a power failure. `temp_store = MEMORY`: the process
/// may have no permission to write temporary files.
const SETTINGS: &str = "PRAGMA busy_timeout = 4000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;";

/// Opens a database, creates its file if missing, and runs all pending migrations. Returns the read pool and the write
/// pool.
pub(super) async fn open(url: &str) -> Result<(AnyPool, AnyPool), StoreError> {
    create_private(&database_path(url)?)?;
    let options = AnyConnectOptions::from_str(url)?.disable_statement_logging();
    let pool = AnyPoolOptions::new()
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(|connection, _| Box::pin(async { connection.execute(SETTINGS).await.map(drop) }))
        .before_acquire(|connection, _| is_idle(connection));
    // One connection: SQLite allows one writer at a time. The pool serves waiting tasks in order; SQLite's lock does
    // not.
    let write = open_first(&pool.clone().max_connections(1), &options).await?;
    // One transaction applies all migrations or none. Processes that start concurrently wait for its lock: sqlx has no
    // migration lock for SQLite.
    let mut migration = write.begin_with("BEGIN IMMEDIATE").await?;
    MIGRATIONS.run_direct(None, &mut *migration, false).await?;
    migration.commit().await?;
    let read = pool.max_connections(READERS).connect_with(options).await?;
    Ok((read, write))
}

/// Opens the first connection, which enables WAL mode. If another process does so concurrently, SQLite ignores the busy
/// timeout and fails at once. This function therefore retries for up to [`BUSY_TIMEOUT`].
async fn open_first(pool: &AnyPoolOptions, options: &AnyConnectOptions) -> Result<AnyPool, StoreError> {
    let started = Instant::now();
    loop {
        match pool.clone().connect_with(options.clone()).await {
            Err(sqlx::Error::Database(error))
                if error.code().is_some_and(|code| code == SQLITE_BUSY)
                    && started.elapsed() < BUSY_TIMEOUT =>
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            result => return Ok(result?),
        }
    }
}

/// The exclusive right to serve a database. Dropping it releases the right.
#[derive(Debug)]
pub struct Claim {
    _file: Option<File>,
}

impl Claim {
    /// Claims a SQLite database by locking a file beside it. The key cache of one process would not see the changes of
    /// another process. PostgreSQL supports many nodes, so nothing is locked there.
    ///
    /// # Errors
    /// [`StoreError::Served`] if another process has claimed the database; [`StoreError::File`] if the lock file cannot
    /// be created or locked.
    pub fn of(url: &str) -> Result<Self, StoreError> {
        if super::postgres::is_postgres_url(url) {
            return Ok(Self { _file: None });
        }
        let path = with_suffix(&database_path(url)?, ".lock");
        create_private(&path)?;
        let failed = |error| StoreError::File { path: path.display().to_string(), error };
        let file = File::open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Served),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

/// The path of a SQLite database.
///
/// # Errors
/// [`StoreError::NoFile`] if the database is not in a file; [`StoreError::UnknownDatabase`] if `url` names neither
/// SQLite nor PostgreSQL.
pub fn database_path(url: &str) -> Result<PathBuf, StoreError> {
    if super::postgres::is_postgres_url(url) || url.contains(":memory:") {
        return Err(StoreError::NoFile);
    }
    if !url.starts_with("sqlite:") {
        return Err(StoreError::UnknownDatabase);
    }
    Ok(SqliteConnectOptions::from_str(url)?.get_filename().to_owned())
}

/// Appends `suffix` to the name of a file, for a file beside it.
#[must_use]
pub fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Creates a file if missing. Sets its mode to 0600: readable and writable by its owner only. SQLite gives the files
/// beside a database (`-wal`, `-shm`) the same mode.
fn create_private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    let failed = |error| StoreError::File { path: path.display().to_string(), error };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    // An existing file must not be opened here: closing it would release all locks that SQLite holds on it in this
    // process (POSIX, fcntl).
    match std::fs::OpenOptions::new().append(true).create_new(true).mode(0o600).open(path) {
        Ok(_) => copy_owner(path, path),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)
}

/// Gives `new` the owner of `old`, the file that it replaces. If `old` is missing or the same path, `new` gets the
/// owner of the folder. Files that root creates must be usable by a service that runs as another user.
pub(crate) fn copy_owner(new: &Path, old: &Path) {
    use std::os::unix::fs::MetadataExt;
    let metadata = |path: &Path| std::fs::metadata(path).ok();
    let owner = metadata(old)
        .filter(|_| old != new)
        .or_else(|| metadata(old.parent().filter(|it| !it.as_os_str().is_empty())?));
    if let (Some(owner), Some(current)) = (owner, metadata(new))
        && (owner.uid(), owner.gid()) != (current.uid(), current.gid())
        && let Err(error) = std::os::unix::fs::chown(new, Some(owner.uid()), Some(owner.gid()))
    {
        // Only root may change an owner. Without root, the file belongs to the user of this process, which can use it.
        tracing::debug!(%error, path = %new.display(), "cannot change the owner of the file");
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
