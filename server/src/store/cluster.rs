//! What nodes on one PostgreSQL publish each other: which of them verify from memory until when, and how keys were changed.
//!
//! `docs/leases.md` says why it is enough. Each kind of statement has a connection of its own, so that a busy pool
//! makes no node lose its lease.

use crate::store::key_entries::{Secret, in_postgres, unpack};
use crate::store::{Store, StoreError, Tx, postgres, with_timeout};
use app::domain::account::AccountId;
use sqlx::postgres::{PgConnection, PgListener, PgPoolOptions};
use sqlx::{ConnectOptions, Executor, FromRow};
use std::time::Duration;

/// Where it is told that keys were changed.
pub(crate) const CHANGED: &str = "mecha_changed";
/// Where it is told which keys are watched, and what happens to them.
pub(crate) const LIVE: &str = "mecha_live";
/// Changes that are followed at once.
const AT_ONCE: i64 = 200;
/// How long changes are kept for nodes to follow; one that was away for longer reads all keys anew.
const KEPT_FOR: &str = "10 minutes";
/// How long an answer to a node may take.
const TIMEOUT: Duration = Duration::from_secs(1);
/// How long it may take to connect, which is many answers.
const CONNECT_PATIENCE: Duration = Duration::from_secs(4);

/// Where a node is told that others have followed its changes.
pub(crate) fn channel_of(node: &str) -> String {
    format!("mecha_node_{node}")
}

/// A change of keys that was committed.
#[derive(Debug)]
pub(crate) struct FollowedChange {
    /// Its number; they have no gaps.
    pub number: i64,
    /// Which node made it.
    pub node: String,
    /// The digests that no key has any more.
    pub gone: Vec<[u8; 32]>,
    /// What the account's secrets are now.
    pub secrets: Vec<Secret>,
}

#[derive(FromRow)]
struct ChangeRow {
    revision: i64,
    number: Option<i64>,
    node: Option<String>,
    gone: Option<Vec<u8>>,
    lines: Option<String>,
}

/// Writes down a change of keys in its own transaction, which gives it a number while it is committed.
pub(crate) async fn record_change(
    tx: &mut Tx,
    node: &str,
    account: &AccountId,
    gone: &[[u8; 32]],
) -> Result<(), StoreError> {
    sqlx::query(
        "WITH told AS (SELECT pg_notify($4, ''))
         INSERT INTO key_changes (node, account_id, gone) SELECT $1, $2, $3 FROM told",
    )
    .bind(node)
    .bind(&account.0)
    .bind(gone.concat())
    .bind(CHANGED)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

impl Store {
    /// Listens for what nodes publish this one.
    pub(crate) async fn listen(&self, node: &str) -> Result<PgListener, StoreError> {
        let options = postgres::options(&self.url)?;
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECT_PATIENCE)
            .connect_lazy_with(options);
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.ignore_pool_close_event(true);
        listener.listen_all([CHANGED, LIVE, &channel_of(node)]).await?;
        Ok(listener)
    }

    /// How many other nodes may still let in what the changes up to this number have locked out. The database judges
    /// which leases have run out.
    pub(crate) async fn nodes_behind(&self, number: i64, node: &str) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT count(*) FROM nodes WHERE id <> $2 AND applied < $1 AND lease_until > clock_timestamp()",
        )
        .bind(number)
        .bind(node)
        .fetch_one(&self.read)
        .await?)
    }

    /// How many nodes hold a lease.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn node_count(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM nodes WHERE lease_until > clock_timestamp()")
            .fetch_one(&self.read)
            .await?)
    }
}

/// Makes sure that a connection on which nothing was told for a while is still there.
pub(crate) async fn check(listener: &mut PgListener) -> Result<(), StoreError> {
    with_timeout(TIMEOUT, sqlx::query("SELECT 1").execute(listener)).await?;
    Ok(())
}

/// A connection that is opened when it is needed, and thrown away when it fails: the next use opens another.
#[derive(Debug)]
pub(crate) struct NodeConnection {
    store: Store,
    settings: &'static str,
    connection: Option<PgConnection>,
}

impl NodeConnection {
    /// To extend leases: they are on the disk before they are used.
    pub(crate) fn of_leases(store: Store) -> Self {
        Self { store, settings: postgres::SETTINGS, connection: None }
    }

    /// To follow changes. That a node has followed one may be forgotten in a crash of the database: it is then waited for
    /// again, or its lease is.
    pub(crate) fn of_changes(store: Store) -> Self {
        Self {
            store,
            settings: "SET jit = off; SET statement_timeout = '4s'; SET synchronous_commit = off;",
            connection: None,
        }
    }

    /// Does something within [`TIMEOUT`].
    async fn with<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // Taken out, so that whatever ends this early also ends the connection.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => with_timeout(CONNECT_PATIENCE, self.connect()).await?,
        };
        let done = with_timeout(TIMEOUT, work(&mut connection)).await?;
        self.connection = Some(connection);
        Ok(done)
    }

    async fn connect(&self) -> Result<PgConnection, StoreError> {
        let mut connection = postgres::options(&self.store.url)?.connect().await?;
        connection.execute(self.settings).await?;
        Ok(connection)
    }

    /// Extends the lease of a node that has followed so many changes; once this is answered, it is committed.
    pub(crate) async fn extend_lease(
        &mut self,
        node: &str,
        applied: i64,
        lasts: Duration,
    ) -> Result<(), StoreError> {
        let lasts = lasts.as_secs_f64();
        self.with(async |connection| {
            sqlx::query(
                "INSERT INTO nodes (id, lease_until, applied)
                 VALUES ($1, clock_timestamp() + make_interval(secs => $3), $2)
                 ON CONFLICT (id) DO UPDATE
                 SET lease_until = clock_timestamp() + make_interval(secs => $3),
                     applied = GREATEST(nodes.applied, excluded.applied)",
            )
            .bind(node)
            .bind(applied)
            .bind(lasts)
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
    }

    /// Gives a lease back.
    pub(crate) async fn end_lease(&mut self, node: &str) -> Result<(), StoreError> {
        self.with(async |connection| {
            sqlx::query("DELETE FROM nodes WHERE id = $1").bind(node).execute(connection).await?;
            Ok(())
        })
        .await
    }

    /// Forgets nodes that are gone, and changes that all others have followed long ago.
    pub(crate) async fn tidy_up(&mut self) -> Result<(), StoreError> {
        self.with(async |connection| {
            sqlx::query("DELETE FROM nodes WHERE lease_until < clock_timestamp() - make_interval(mins => 1)")
                .execute(&mut *connection)
                .await?;
            sqlx::query("DELETE FROM key_changes WHERE at < clock_timestamp() - CAST($1 AS interval)")
                .bind(KEPT_FOR)
                .execute(connection)
                .await?;
            Ok(())
        })
        .await
    }

    /// How many changes were committed.
    pub(crate) async fn revision(&mut self) -> Result<i64, StoreError> {
        self.with(async |connection| {
            Ok(sqlx::query_scalar("SELECT number FROM revision").fetch_one(connection).await?)
        })
        .await
    }

    /// How many changes were committed, and the first of those after one number, all as of one moment.
    pub(crate) async fn changes_after(
        &mut self,
        applied: i64,
    ) -> Result<(i64, Vec<FollowedChange>), StoreError> {
        let rows: Vec<ChangeRow> = self
            .with(async |connection| {
                Ok(sqlx::query_as(concat!(
                    "SELECT r.number AS revision, c.number, c.node, c.gone,
                            (SELECT string_agg(",
                    in_postgres!(),
                    ", chr(10)) FROM api_keys k WHERE k.account_id = c.account_id) AS lines
                     FROM revision r LEFT JOIN key_changes c ON c.number > $1 ORDER BY c.number LIMIT $2"
                ))
                .bind(applied)
                .bind(AT_ONCE)
                .fetch_all(connection)
                .await?)
            })
            .await?;
        let revision = rows.first().map_or(0, |row| row.revision);
        let changes = rows.into_iter().filter_map(|row| {
            let (number, node) = (row.number?, row.node?);
            let gone = row.gone.unwrap_or_default().as_chunks().0.to_vec();
            let secrets = unpack(&row.lines.unwrap_or_default());
            Some(secrets.map(|secrets| FollowedChange { number, node, gone, secrets }))
        });
        Ok((revision, changes.collect::<Result<_, _>>()?))
    }

    /// Tells all nodes something of keys that are watched.
    pub(crate) async fn notify_live(&mut self, what: &str) -> Result<(), StoreError> {
        self.with(async |connection| {
            sqlx::query("SELECT pg_notify($1, $2)").bind(LIVE).bind(what).execute(connection).await?;
            Ok(())
        })
        .await
    }

    /// Notes that a node has followed so many changes, and tells those that may wait for it.
    pub(crate) async fn notify_applied(
        &mut self,
        node: &str,
        applied: i64,
        waiting: &[String],
    ) -> Result<(), StoreError> {
        self.with(async |connection| {
            sqlx::query(
                "WITH noted AS (UPDATE nodes SET applied = $2 WHERE id = $1 AND applied < $2)
                 SELECT pg_notify(channel, '') FROM unnest($3) channel",
            )
            .bind(node)
            .bind(applied)
            .bind(waiting)
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
    }
}
