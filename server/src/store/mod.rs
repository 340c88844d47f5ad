//! All SQL of the server, and only SQL.
//!
//! Statements use the dialect that SQLite and PostgreSQL share: `$n` parameters, `ON CONFLICT`, no functions that only
//! one of them has, flags as 0 and 1. The exceptions: [`sqlite`] and [`postgres`] open a database; [`lock_account`]
//! takes a lock where writers run concurrently; [`key_entries`] reads a million keys at once; [`cluster`] needs
//! PostgreSQL.

pub(crate) mod accounts;
pub(crate) mod activity;
pub(crate) mod api_keys;
pub mod backup_file;
pub(crate) mod cluster;
pub(crate) mod instance_state;
pub(crate) mod key_entries;
pub(crate) mod key_prefixes;
pub(crate) mod mechas;
mod postgres;
mod rate_limits;
pub(crate) mod runtimes;
pub mod sessions;
mod sqlite;
pub mod tables;
pub(crate) mod usage;

pub use accounts::{AccountRow, NewAccount};
pub use api_keys::{KeyById, KeyRow, NewApiKey};
pub use sessions::SessionRow;
pub(crate) use sqlite::copy_owner;
pub use sqlite::{Claim, database_path, with_suffix};

use app::domain::account::AccountId;
use app::error::ConsoleError;
use futures::future::BoxFuture;
use sqlx::Connection;
use sqlx::any::install_default_drivers;
use sqlx::{Any, AnyConnection, AnyPool};
use std::future::ready;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The database driver: SQLite or PostgreSQL.
pub type Db = Any;
/// A transaction that may write.
pub type Tx = sqlx::Transaction<'static, Db>;

/// Timeout for obtaining a connection from a pool. After it, the database counts as unavailable.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// An error of the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not respond, or a statement failed.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// A migration failed.
    #[error(transparent)]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The request ended before its transaction began: the client disconnected or received a response. Nothing was
    /// changed.
    #[error("the request ended before its transaction began")]
    RequestEnded,
    /// The task that ran a transaction panicked or was aborted.
    #[error("the task of a transaction failed: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// A file cannot be created, opened or protected.
    #[error("{path}: {error}")]
    File {
        /// The path of the file.
        path: String,
        /// The error of the operating system.
        error: std::io::Error,
    },
    /// A row has an unexpected format.
    #[error("a row of api_keys cannot be parsed")]
    Corrupt,
    /// A database file fails the integrity check.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// Another process serves this database.
    #[error("another server is serving this database")]
    Served,
    /// `DATABASE_URL` names neither SQLite nor PostgreSQL.
    #[error("DATABASE_URL must begin with sqlite: or postgres://")]
    UnknownDatabase,
    /// The operation requires a database in a file.
    #[error(
        "this command requires a database in a file, such as sqlite:data/console.db; use PostgreSQL's own tools"
    )]
    NoFile,
}

impl From<StoreError> for ConsoleError {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "a database operation failed");
        Self::Unavailable
    }
}

/// The database. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Store {
    read: AnyPool,
    write: AnyPool,
    url: String,
}

impl Store {
    /// Opens a database and runs all pending migrations. Creates the file of a SQLite database if it is missing.
    ///
    /// # Errors
    /// The database cannot be created or opened, or a migration fails.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        install_default_drivers();
        let (read, write) = if postgres::is_postgres_url(url) {
            postgres::open(url).await?
        } else if url.starts_with("sqlite:") {
            sqlite::open(url).await?
        } else {
            return Err(StoreError::UnknownDatabase);
        };
        Ok(Self { read, write, url: url.to_owned() })
    }

    /// Whether other nodes may serve the same database.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        postgres::is_postgres_url(&self.url)
    }

    /// Checks that the database responds.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.read).await?;
        Ok(())
    }

    /// Begins a transaction that may write. Run it in [`spawn_transaction`].
    ///
    /// # Errors
    /// The database does not respond, or the request ended before the transaction began.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let tx = if self.is_shared() {
            self.write.begin().await?
        } else {
            // `IMMEDIATE` takes the write lock at once, so writers wait for each other. A transaction that takes the
            // lock at its first write would fail instead of waiting.
            self.write.begin_with("BEGIN IMMEDIATE").await?
        };
        if REQUEST.try_with(CancellationToken::is_cancelled).unwrap_or_default() {
            return Err(StoreError::RequestEnded);
        }
        Ok(tx)
    }

    /// Begins a transaction on a consistent snapshot, without timeouts, that reads or writes the whole database.
    pub(crate) async fn begin_copy(&self) -> Result<Tx, StoreError> {
        if !self.is_shared() {
            return self.begin().await;
        }
        let mut tx = self.write.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
        disable_statement_timeout(&mut tx).await?;
        sqlx::query("SET LOCAL idle_in_transaction_session_timeout = 0").execute(&mut *tx).await?;
        Ok(tx)
    }

    /// For each connection pool: its name, its number of connections, and how many of them are idle.
    #[must_use]
    pub fn pools(&self) -> [(&'static str, usize, usize); 2] {
        let [read, write] = [&self.read, &self.write];
        [("read", read.size() as usize, read.num_idle()), ("write", write.size() as usize, write.num_idle())]
    }

    /// Closes all connections. Afterwards, the main file of a SQLite database contains all committed data.
    pub async fn close(&self) {
        self.read.close().await;
        self.write.close().await;
    }
}

tokio::task_local! {
    /// Cancelled when the future of [`spawn_transaction`] is dropped.
    static REQUEST: CancellationToken;
}

/// Runs a transaction in a separate task and waits for its result.
///
/// When a client disconnects, its handler is dropped at the current await. A transaction dropped there would leave its
/// connection in an unknown state (sqlx#4393), so the task runs it to the end. If the handler is dropped before
/// [`Store::begin`] has begun the transaction, `begin` returns [`StoreError::RequestEnded`]: a client that received an
/// error because the server is too busy must not find its change committed later.
///
/// # Errors
/// Those of `work`, or [`StoreError::Task`] if it panicked.
pub async fn spawn_transaction<T, E>(
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, E>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    let request = CancellationToken::new();
    let _ends_with_request = request.clone().drop_guard();
    tokio::spawn(REQUEST.scope(request, work)).await.map_err(StoreError::from)?
}

/// Runs `work` with a timeout. Do not pass a transaction: a timeout would leave it open.
///
/// # Errors
/// Those of `work`, or [`sqlx::Error::PoolTimedOut`] after the timeout.
pub(crate) async fn with_timeout<T, E>(
    timeout: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, StoreError>
where
    StoreError: From<E>,
{
    Ok(tokio::time::timeout(timeout, work).await.map_err(|_| sqlx::Error::PoolTimedOut)??)
}

/// Whether a connection has no open transaction. After the database rolled back on its own, as SQLite does when the
/// disk is full, sqlx still considers the transaction open and cannot begin another one. The pool then replaces the
/// connection.
fn is_idle(connection: &mut AnyConnection) -> BoxFuture<'_, Result<bool, sqlx::Error>> {
    Box::pin(ready(Ok(!connection.is_in_transaction())))
}

/// Whether a connection has no open transaction, and its server responds to a ping.
fn is_alive(connection: &mut AnyConnection) -> BoxFuture<'_, Result<bool, sqlx::Error>> {
    Box::pin(async { Ok(!connection.is_in_transaction() && connection.ping().await.is_ok()) })
}

fn is_postgres(connection: &AnyConnection) -> bool {
    connection.backend_name() == "PostgreSQL"
}

/// Locks an account until the transaction ends. Other transactions that change the account or its keys and sessions
/// wait, so data that this transaction reads after the lock stays current. SQLite needs no lock: it has one writer at a
/// time.
pub(crate) async fn lock_account(tx: &mut Tx, account: &AccountId) -> Result<(), StoreError> {
    if is_postgres(tx) {
        sqlx::query("SELECT 1 FROM accounts WHERE id = $1 FOR UPDATE")
            .bind(&account.0)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// Disables the statement timeout for this transaction. Use it for background work, which no request waits for.
pub(crate) async fn disable_statement_timeout(tx: &mut Tx) -> Result<(), StoreError> {
    if is_postgres(tx) {
        sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut **tx).await?;
    }
    Ok(())
}

/// Blocks other transactions that insert an account until this transaction ends. SQLite needs no lock: it has one
/// writer at a time.
pub(crate) async fn lock_sign_ups(tx: &mut Tx) -> Result<(), StoreError> {
    if is_postgres(tx) {
        sqlx::query("LOCK TABLE accounts IN SHARE ROW EXCLUSIVE MODE").execute(&mut **tx).await?;
    }
    Ok(())
}
