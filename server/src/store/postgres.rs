//! PostgreSQL, 13 or later: many nodes on one database.

use crate::store::{ACQUIRE_TIMEOUT, StoreError, is_idle, is_there};
use sqlx::AnyPool;
use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Executor};
use std::str::FromStr;
use std::time::Duration;

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("./migrations/postgres");

/// Connections of a node that read, and as many that write.
const CONNECTIONS: u32 = 8;
/// How long nobody may have used a connection before it is asked whether the server is still there.
const STALE_AFTER: Duration = Duration::from_secs(1);
/// What each connection is told first.
///
/// What was acknowledged is on the disk, whatever the server's own setting. A session that was left behind with an open
/// transaction, as by a machine that lost its network, holds its locks for no longer than a request may wait for them.
/// Statements are small: compiling one takes a hundred times as long as running it.
pub(super) const SETTINGS: &str =
    "SET jit = off; SET synchronous_commit = on; SET default_transaction_isolation = 'read committed';
    SET idle_in_transaction_session_timeout = '1s'; SET statement_timeout = '4s'; SET lock_timeout = '3s';";

/// Whether a `DATABASE_URL` names a database of this kind.
pub(super) fn is_meant_by(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// How to connect, where the driver for both databases cannot do what is needed.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    Ok(PgConnectOptions::from_str(url)?.application_name("mecha-console").disable_statement_logging())
}

/// Opens a database and brings its tables up to date: readers and writers.
pub(super) async fn open(url: &str) -> Result<(AnyPool, AnyPool), StoreError> {
    let options = AnyConnectOptions::from_str(url)?.disable_statement_logging();
    let pool =
        AnyPoolOptions::new()
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .max_connections(CONNECTIONS)
            .after_connect(|connection, _| Box::pin(async { connection.execute(SETTINGS).await.map(drop) }))
            // To ask each time whether the server is still there would cost as much as what is then asked.
            .test_before_acquire(false)
            .before_acquire(|connection, used| {
                if used.idle_for < STALE_AFTER { is_idle(connection) } else { is_there(connection) }
            });
    // Whoever starts at the same time waits for the migrator's lock; a migration may take longer than a request.
    let mut migration = options.connect().await?;
    MIGRATIONS.run_direct(None, &mut migration, false).await?;
    sqlx::Connection::close(migration).await?;
    let write = pool.clone().connect_with(options.clone()).await?;
    let read = pool.connect_with(options).await?;
    Ok((read, write))
}
