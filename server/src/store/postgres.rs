//! PostgreSQL 13 or later: several nodes share one database.

use crate::store::{ACQUIRE_TIMEOUT, StoreError, is_alive, is_idle};
use sqlx::AnyPool;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor};
use std::str::FromStr;
use std::time::Duration;

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("./migrations/postgres");

/// Maximum number of connections in each of a node's two pools, one for reads and one for writes.
const CONNECTIONS: u32 = 8;
/// A connection that was idle for at least this long is pinged before it is used.
const STALE_AFTER: Duration = Duration::from_secs(1);
/// The settings of each new connection.
///
/// - `synchronous_commit`: an acknowledged commit is on the disk, whatever the server's default.
/// - `idle_in_transaction_session_timeout`: a session left behind with an open transaction, for example by a machine
///   that lost its network, holds its locks no longer than a request may wait for them.
/// - `jit`: statements are small; compiling one takes a hundred times as long as executing it.
pub(super) const SETTINGS: &str =
    "SET jit = off; SET synchronous_commit = on; SET default_transaction_isolation = 'read committed';
    SET idle_in_transaction_session_timeout = '1s'; SET statement_timeout = '4s'; SET lock_timeout = '3s';";

/// Whether a `DATABASE_URL` names a PostgreSQL database.
pub(super) fn is_postgres_url(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// The options for connections that need features of PostgreSQL's own driver, such as `COPY` and `LISTEN`.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    Ok(PgConnectOptions::from_str(url)?.application_name("mecha-console").disable_statement_logging())
}

/// Opens a database and runs all pending migrations. Returns the read pool and the write pool.
pub(super) async fn open(url: &str) -> Result<(AnyPool, AnyPool), StoreError> {
    let options = AnyConnectOptions::from_str(url)?.disable_statement_logging();
    let pool = AnyPoolOptions::new()
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .max_connections(CONNECTIONS)
        .after_connect(|connection, _| Box::pin(async { connection.execute(SETTINGS).await.map(drop) }))
        // A ping before each use would cost as much as the statement itself.
        .test_before_acquire(false)
        .before_acquire(|connection, metadata| {
            if metadata.idle_for < STALE_AFTER { is_idle(connection) } else { is_alive(connection) }
        });
    // A connection without the timeouts in `SETTINGS`: a migration may take longer than a request. Nodes that start
    // concurrently wait for the migrator's lock.
    let mut migration = options.connect().await?;
    MIGRATIONS.run_direct(None, &mut migration, false).await?;
    sqlx::Connection::close(migration).await?;
    let write = pool.clone().connect_with(options.clone()).await?;
    let read = pool.connect_with(options).await?;
    Ok((read, write))
}
