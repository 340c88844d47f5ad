//! All SQL, and nothing but SQL.
//!
//! Statements are written once, in the dialect that SQLite and PostgreSQL share: `$n` parameters, `ON CONFLICT`, no
//! functions of either, flags as 0 and 1. What differs has a file of its own: [`sqlite`] and [`postgres`] open a
//! database; [`lock_account`] locks an account where writers do not take turns; [`key_entries`] reads a million keys at once.

pub(crate) mod accounts;
pub(crate) mod activity;
pub(crate) mod api_keys;
pub mod backup_file;
pub(crate) mod cluster;
pub(crate) mod instance_state;
pub(crate) mod key_entries;
pub(crate) mod key_prefixes;
mod postgres;
mod rate_limits;
pub mod sessions;
mod sqlite;
pub mod tables;
pub(crate) mod usage;

pub use accounts::{AccountRow, NewAccount};
pub use api_keys::{KeyRow, NewApiKey, OwnKey};
pub use sessions::SessionRow;
pub(crate) use sqlite::give_to_owner;
pub use sqlite::{Claim, beside, file_of};

use app::domain::account::AccountId;
use app::error::ConsoleError;
use futures::future::BoxFuture;
use sqlx::Connection;
use sqlx::any::install_default_drivers;
use sqlx::{Any, AnyConnection, AnyPool};
use std::future::ready;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Either database.
pub type Db = Any;
/// A transaction that may write.
pub type Tx = sqlx::Transaction<'static, Db>;

/// How long a request waits for a connection before the database counts as not answering.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// What went wrong in the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database does not answer, or cannot do what it is asked to.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// The migrations cannot be run.
    #[error(transparent)]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The client is gone, or has received a response: nothing was changed.
    #[error("the request ended before its transaction began")]
    RequestEnded,
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
    #[error("DATABASE_URL must begin with sqlite: or postgres://")]
    UnknownDatabase,
    /// What is asked for is done to a file.
    #[error(
        "this needs a database in a file, such as sqlite:data/console.db; PostgreSQL has tools of its own"
    )]
    NoFile,
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
    read: AnyPool,
    write: AnyPool,
    url: String,
}

impl Store {
    /// Opens a database and brings its tables up to date. SQLite's file is made if it is not there.
    ///
    /// # Errors
    /// The database cannot be made or opened, or a migration fails.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        install_default_drivers();
        let (read, write) = if postgres::is_meant_by(url) {
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
        postgres::is_meant_by(&self.url)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.read).await?;
        Ok(())
    }

    /// Begins a transaction that may write. Run it in [`spawn_transaction`].
    ///
    /// # Errors
    /// The database does not answer, or the request has ended while it waited.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let tx = if self.is_shared() {
            self.write.begin().await?
        } else {
            // Taking the lock at once lets writers queue; taking it at the first write would fail them.
            self.write.begin_with("BEGIN IMMEDIATE").await?
        };
        if REQUEST.try_with(CancellationToken::is_cancelled).unwrap_or_default() {
            return Err(StoreError::RequestEnded);
        }
        Ok(tx)
    }

    /// Begins to read or write everything as it is at this moment, however long it takes.
    pub(crate) async fn begin_copy(&self) -> Result<Tx, StoreError> {
        if !self.is_shared() {
            return self.begin().await;
        }
        let mut tx = self.write.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
        disable_statement_timeout(&mut tx).await?;
        sqlx::query("SET LOCAL idle_in_transaction_session_timeout = 0").execute(&mut *tx).await?;
        Ok(tx)
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

tokio::task_local! {
    /// Cancelled once nobody waits for the result of [`spawn_transaction`] any more.
    static REQUEST: CancellationToken;
}

/// Runs a transaction in a task of its own.
///
/// A client that hangs up drops the handler at whatever await it stands, and a transaction dropped there
/// would leave its connection in an unknown state (sqlx#4393). If that happens before [`Store::begin`] has the
/// transaction, it is not begun: a client that was told that the server is too busy must not find its change made later.
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

/// Does something that the database is to answer within some time. No transaction: it would be left open.
///
/// # Errors
/// Those of `work`, or that it took too long.
pub(crate) async fn with_timeout<T, E>(
    time: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, StoreError>
where
    StoreError: From<E>,
{
    Ok(tokio::time::timeout(time, work).await.map_err(|_| sqlx::Error::PoolTimedOut)??)
}

/// Whether a connection has no transaction open. One that the database rolled back by itself, as SQLite does when the
/// disk is full, goes on in the eyes of sqlx, which would begin no other on this connection: another takes its place.
fn is_idle(connection: &mut AnyConnection) -> BoxFuture<'_, Result<bool, sqlx::Error>> {
    Box::pin(ready(Ok(!connection.is_in_transaction())))
}

/// Whether a connection has no transaction open, and its server answers.
fn is_there(connection: &mut AnyConnection) -> BoxFuture<'_, Result<bool, sqlx::Error>> {
    Box::pin(async { Ok(!connection.is_in_transaction() && connection.ping().await.is_ok()) })
}

fn is_postgres(connection: &AnyConnection) -> bool {
    connection.backend_name() == "PostgreSQL"
}

/// Makes whoever else would change this account or what it owns wait until the transaction ends; what it reads from
/// here on it therefore changes as it is. SQLite has one writer at a time anyway.
pub(crate) async fn lock_account(tx: &mut Tx, account: &AccountId) -> Result<(), StoreError> {
    if is_postgres(tx) {
        sqlx::query("SELECT 1 FROM accounts WHERE id = $1 FOR UPDATE")
            .bind(&account.0)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// Lets the statements of a transaction take their time: nobody waits for them.
pub(crate) async fn disable_statement_timeout(tx: &mut Tx) -> Result<(), StoreError> {
    if is_postgres(tx) {
        sqlx::query("SET LOCAL statement_timeout = 0").execute(&mut **tx).await?;
    }
    Ok(())
}

/// Makes whoever else would make an account wait until the transaction ends.
pub(crate) async fn lock_sign_ups(tx: &mut Tx) -> Result<(), StoreError> {
    if is_postgres(tx) {
        sqlx::query("LOCK TABLE accounts IN SHARE ROW EXCLUSIVE MODE").execute(&mut **tx).await?;
    }
    Ok(())
}
