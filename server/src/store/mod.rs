//! All SQL, and nothing but SQL.
//!
//! Statements are written in the dialect that SQLite and PostgreSQL share: `$n` parameters, `ON CONFLICT`,
//! no functions of either. What differs is here: how a database is opened and how a write begins.

pub(crate) mod accounts;
pub(crate) mod activity;
pub(crate) mod api_keys;
pub mod backup;
pub(crate) mod secrets;
pub(crate) mod sessions;
pub(crate) mod traffic;

pub use accounts::{AccountRow, NewAccount};
pub use api_keys::{KeyRow, NewApiKey, OwnKey};
pub use sessions::SessionRow;

use app::error::ConsoleError;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    Sqlite, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};
use std::fs::{File, TryLockError};
use std::future::ready;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// The database of this build.
pub type Db = Sqlite;
/// A transaction that may write.
pub type Tx = sqlx::Transaction<'static, Db>;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations/sqlite");

/// How long a request waits for a connection before the database counts as not answering.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long SQLite waits for another process that holds its lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(4);
/// Another process holds SQLite's lock (sqlite.org/rescode.html#busy).
const SQLITE_BUSY: &str = "5";
const READERS: u32 = 4;

/// What went wrong in the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer, or cannot do what it is asked to.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The migrations cannot be run.
    #[error(transparent)]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The task that ran a transaction was lost.
    #[error("the transaction's task ended early: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// The database file cannot be made or protected.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// What the operating system says.
        error: std::io::Error,
    },
    /// A column holds what this version did not write.
    #[error("a row of api_keys holds what cannot be read")]
    Corrupt,
    /// A copy of a database is not whole.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// Another process serves this database.
    #[error("another server is serving this database")]
    Served,
    /// `DATABASE_URL` is of a kind that this build does not know.
    #[error("DATABASE_URL must begin with sqlite:")]
    UnknownDatabase,
}

impl From<StoreError> for ConsoleError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the database did not do what it was asked to");
        Self::Unavailable
    }
}

/// The database. Copies share its connections.
#[derive(Clone, Debug)]
pub struct Store {
    read: SqlitePool,
    /// One connection: SQLite has one writer at a time, and waiting for a turn in a pool is fair, where
    /// waiting for SQLite's lock is not.
    write: SqlitePool,
}

impl Store {
    /// Opens a database, which is made if it is not there, and brings its tables up to date.
    ///
    /// # Errors
    /// The file cannot be made or opened, or a migration fails.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        if !url.starts_with("sqlite:") {
            return Err(StoreError::UnknownDatabase);
        }
        let options = SqliteConnectOptions::from_str(url)?
            .journal_mode(SqliteJournalMode::Wal)
            // What was acknowledged is on the disk, also after a power failure.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            // Where nothing but the database may be written, there is no place for temporary files.
            .pragma("temp_store", "memory")
            .disable_statement_logging();
        make_private(options.get_filename())?;
        let pool = SqlitePoolOptions::new()
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // A transaction that SQLite rolled back by itself, as when the disk is full, goes on in the eyes of sqlx,
            // which would begin no other on this connection: another takes its place.
            .before_acquire(|connection, _| Box::pin(ready(Ok(!connection.is_in_transaction()))));
        let write = open_first(&pool.clone().max_connections(1), &options).await?;
        // All of them or none, and whoever starts at the same time waits: SQLite has no other lock for them.
        let mut migration = write.begin_with("BEGIN IMMEDIATE").await?;
        MIGRATIONS.run_direct(None, &mut *migration, false).await?;
        migration.commit().await?;
        let read = pool.max_connections(READERS).connect_with(options).await?;
        Ok(Self { read, write })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.read).await?;
        Ok(())
    }

    /// Begins a transaction that may write. Run it in [`detached`].
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        // Taking the lock at once lets writers queue; taking it at the first write would fail them.
        Ok(self.write.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// For each pool of connections its name, how many there are, and how many of them nobody uses.
    #[must_use]
    pub fn pools(&self) -> [(&'static str, usize, usize); 2] {
        let [read, write] = [&self.read, &self.write];
        [("read", read.size() as usize, read.num_idle()), ("write", write.size() as usize, write.num_idle())]
    }

    /// Closes all connections; what was written is in the database file alone afterwards.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

/// Opens the first connection, which turns on WAL. While another process does the same SQLite fails at once instead of
/// waiting as for any other lock, so the waiting is done here.
async fn open_first(
    pool: &SqlitePoolOptions,
    options: &SqliteConnectOptions,
) -> Result<SqlitePool, StoreError> {
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
    /// Claims a database. What one process has in memory would not follow what another commits.
    ///
    /// # Errors
    /// [`StoreError::Served`] if another process has claimed it.
    pub fn of(url: &str) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::from_str(url)?;
        if url.contains(":memory:") {
            return Ok(Self { _file: None });
        }
        let path = beside(options.get_filename(), ".lock");
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

/// Runs a transaction in a task of its own.
///
/// A client that hangs up drops the handler at whatever await it stands, and a transaction dropped there
/// would leave its connection in an unknown state (sqlx#4393).
///
/// # Errors
/// Those of `work`, or [`StoreError::Task`] if it panicked.
pub async fn detached<T, E>(work: impl Future<Output = Result<T, E>> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    tokio::spawn(work).await.map_err(StoreError::from)?
}

/// The file of a database, if it is one.
///
/// # Errors
/// `DATABASE_URL` is of a kind that has no file.
pub fn file_of(url: &str) -> Result<PathBuf, StoreError> {
    if !url.starts_with("sqlite:") || url.contains(":memory:") {
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
