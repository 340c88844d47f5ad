//! What the nodes on one PostgreSQL database exchange: leases, which allow them to verify from memory, and changes of
//! keys.
//!
//! `docs/leases.md` describes the protocol and proves it correct. Leases, changes and notifications use separate
//! connections, so that a busy pool cannot cost a node its lease.

use crate::ids::{Id, parse_id};
use crate::store::key_entries::{Secret, parse_lines, postgres_keys, postgres_line};
use crate::store::{Store, StoreError, Tx, postgres, with_timeout};
use app::domain::account::AccountId;
use sqlx::postgres::{PgConnection, PgListener, PgPoolOptions};
use sqlx::{ConnectOptions, Executor, FromRow};
use std::time::Duration;

/// The channel that announces changes of keys.
pub(crate) const CHANGED: &str = "mecha_changed";
/// The channel that announces which keys are watched, and the events of those keys.
pub(crate) const LIVE: &str = "mecha_live";
/// Maximum number of changes in one read.
const CHANGES_PER_READ: i64 = 200;
/// How long changes are kept. A node that was disconnected for longer reloads all keys.
const CHANGE_RETENTION: &str = "10 minutes";
/// Timeout of a statement.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Timeout for connecting, which takes several round trips.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(4);

/// The channel on which a node is notified that other nodes have applied its changes.
pub(crate) fn channel_of(node: &str) -> String {
    format!("mecha_node_{node}")
}

/// A committed change of keys.
#[derive(Debug)]
pub(crate) struct CommittedChange {
    /// Its number. Numbers are consecutive, in the order of the commits.
    pub number: i64,
    /// The id of the node that committed it.
    pub node: String,
    /// The account whose keys or Mechas it changed; `None` for a deletion of keys of several accounts.
    pub account: Option<Id>,
    /// The digests that the change removed.
    pub gone: Vec<[u8; 32]>,
    /// The current entries of the account's secrets, as of the read.
    pub secrets: Vec<Secret>,
}

#[derive(FromRow)]
struct ChangeRow {
    revision: i64,
    number: Option<i64>,
    node: Option<String>,
    account_id: Option<String>,
    gone: Option<Vec<u8>>,
    lines: Option<String>,
}

/// Records a change of keys in the same transaction as the change, and notifies all nodes when it commits. A deferred
/// trigger assigns the number during the commit.
pub(crate) async fn record_change(
    tx: &mut Tx,
    node: &str,
    account: &AccountId,
    gone: &[[u8; 32]],
) -> Result<(), StoreError> {
    sqlx::query(
        "WITH notified AS (SELECT pg_notify($4, ''))
         INSERT INTO key_changes (node, account_id, gone) SELECT $1, $2, $3 FROM notified",
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
    /// Opens a connection that listens on all channels of this node.
    pub(crate) async fn listen(&self, node: &str) -> Result<PgListener, StoreError> {
        let options = postgres::options(&self.url)?;
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(CONNECT_TIMEOUT)
            .connect_lazy_with(options);
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.ignore_pool_close_event(true);
        listener.listen_all([CHANGED, LIVE, &channel_of(node)]).await?;
        Ok(listener)
    }

    /// The number of other nodes that hold a lease and have not applied all changes up to `number`. They may still
    /// allow secrets that these changes revoked. The database's clock decides which leases have expired.
    pub(crate) async fn nodes_behind(&self, number: i64, node: &str) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT count(*) FROM nodes WHERE id <> $2 AND applied < $1 AND lease_until > clock_timestamp()",
        )
        .bind(number)
        .bind(node)
        .fetch_one(&self.read)
        .await?)
    }

    /// Whether a node holds a lease, and has the secret with this hash.
    ///
    /// # Errors
    /// The database does not respond.
    pub(crate) async fn is_node(&self, id: &str, secret_hash: &[u8]) -> Result<bool, StoreError> {
        if !self.is_shared() {
            return Ok(false);
        }
        let found: Option<i32> = sqlx::query_scalar(
            "SELECT 1 FROM nodes WHERE id = $1 AND secret_hash = $2 AND lease_until > clock_timestamp()",
        )
        .bind(id)
        .bind(secret_hash)
        .fetch_optional(&self.read)
        .await?;
        Ok(found.is_some())
    }

    /// The URLs of the other nodes that hold a lease and a connected runtime of the account that offers an action and
    /// does not drain: those with idle runtimes first.
    ///
    /// # Errors
    /// The database does not respond.
    pub(crate) async fn nodes_offering(
        &self,
        account: &AccountId,
        own: &str,
        action: &str,
    ) -> Result<Vec<String>, StoreError> {
        if !self.is_shared() {
            return Ok(Vec::new());
        }
        Ok(sqlx::query_scalar(
            "SELECT n.url FROM nodes n JOIN runtimes r ON r.node = n.id
             WHERE r.account_id = $1 AND r.ended_at IS NULL AND n.id <> $2 AND n.url <> ''
               AND n.lease_until > clock_timestamp() AND r.state IN ('idle', 'busy')
               AND $3 = ANY (string_to_array(r.actions, ' '))
             GROUP BY n.url ORDER BY count(*) FILTER (WHERE r.state = 'idle') DESC, random()",
        )
        .bind(&account.0)
        .bind(own)
        .bind(action)
        .fetch_all(&self.read)
        .await?)
    }

    /// The number of nodes that hold a lease.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn node_count(&self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("SELECT count(*) FROM nodes WHERE lease_until > clock_timestamp()")
            .fetch_one(&self.read)
            .await?)
    }
}

/// Checks that the connection of an idle listener still works.
///
/// # Errors
/// The database does not respond within [`TIMEOUT`].
pub(crate) async fn check(listener: &mut PgListener) -> Result<(), StoreError> {
    with_timeout(TIMEOUT, sqlx::query("SELECT 1").execute(listener)).await?;
    Ok(())
}

/// What other nodes know of a node.
#[derive(Debug)]
pub(crate) struct NodeRow<'n> {
    pub id: &'n str,
    /// Where other nodes reach it; empty if they do not.
    pub url: &'n str,
    /// SHA-256 of the secret with which it authenticates.
    pub secret_hash: Vec<u8>,
}

/// A connection that is opened on first use and discarded after a failure. The next use opens a new one.
#[derive(Debug)]
pub(crate) struct NodeConnection {
    store: Store,
    settings: &'static str,
    connection: Option<PgConnection>,
}

impl NodeConnection {
    /// For leases. Commits are synchronous: a lease is on the disk before the node uses it.
    pub(crate) fn of_leases(store: Store) -> Self {
        Self { store, settings: postgres::SETTINGS, connection: None }
    }

    /// For changes. Commits are asynchronous: a crash of the database may lose the record that a node has applied a
    /// change. Other nodes then wait until it is recorded again or the lease of the node expires.
    pub(crate) fn of_changes(store: Store) -> Self {
        Self {
            store,
            settings: "SET jit = off; SET statement_timeout = '4s'; SET synchronous_commit = off;",
            connection: None,
        }
    }

    /// Runs `work` with a timeout of [`TIMEOUT`].
    async fn with<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // Taken out of the field, so that an error, a timeout or a dropped future also closes the connection.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => with_timeout(CONNECT_TIMEOUT, self.connect()).await?,
        };
        let output = with_timeout(TIMEOUT, work(&mut connection)).await?;
        self.connection = Some(connection);
        Ok(output)
    }

    async fn connect(&self) -> Result<PgConnection, StoreError> {
        let mut connection = postgres::options(&self.store.url)?.connect().await?;
        connection.execute(self.settings).await?;
        Ok(connection)
    }

    /// Extends the lease of a node to `duration` from now, and records the last change that the node has applied. The
    /// lease is committed when this function returns.
    pub(crate) async fn extend_lease(
        &mut self,
        node: &NodeRow<'_>,
        applied: i64,
        duration: Duration,
    ) -> Result<(), StoreError> {
        let seconds = duration.as_secs_f64();
        self.with(async |connection| {
            sqlx::query(
                "INSERT INTO nodes (id, lease_until, applied, url, secret_hash)
                 VALUES ($1, clock_timestamp() + make_interval(secs => $3), $2, $4, $5)
                 ON CONFLICT (id) DO UPDATE
                 SET lease_until = clock_timestamp() + make_interval(secs => $3),
                     applied = GREATEST(nodes.applied, excluded.applied)",
            )
            .bind(node.id)
            .bind(applied)
            .bind(seconds)
            .bind(node.url)
            .bind(&node.secret_hash)
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
    }

    /// Ends the lease of a node.
    pub(crate) async fn end_lease(&mut self, node: &str) -> Result<(), StoreError> {
        self.with(async |connection| {
            sqlx::query("DELETE FROM nodes WHERE id = $1").bind(node).execute(connection).await?;
            Ok(())
        })
        .await
    }

    /// Deletes nodes whose leases expired more than a minute ago, and changes older than [`CHANGE_RETENTION`].
    pub(crate) async fn delete_expired_rows(&mut self) -> Result<(), StoreError> {
        self.with(async |connection| {
            sqlx::query("DELETE FROM nodes WHERE lease_until < clock_timestamp() - make_interval(mins => 1)")
                .execute(&mut *connection)
                .await?;
            sqlx::query("DELETE FROM key_changes WHERE at < clock_timestamp() - CAST($1 AS interval)")
                .bind(CHANGE_RETENTION)
                .execute(connection)
                .await?;
            Ok(())
        })
        .await
    }

    /// The number of the last committed change.
    pub(crate) async fn revision(&mut self) -> Result<i64, StoreError> {
        self.with(async |connection| {
            Ok(sqlx::query_scalar("SELECT number FROM revision").fetch_one(connection).await?)
        })
        .await
    }

    /// The number of the last committed change, and the first [`CHANGES_PER_READ`] changes after `applied`, all in one
    /// snapshot.
    pub(crate) async fn changes_after(
        &mut self,
        applied: i64,
    ) -> Result<(i64, Vec<CommittedChange>), StoreError> {
        let rows: Vec<ChangeRow> = self
            .with(async |connection| {
                Ok(sqlx::query_as(concat!(
                    "SELECT r.number AS revision, c.number, c.node, c.account_id, c.gone,
                            (SELECT string_agg(",
                    postgres_line!(),
                    ", chr(10))",
                    postgres_keys!(),
                    "WHERE k.account_id = c.account_id) AS lines
                     FROM revision r LEFT JOIN key_changes c ON c.number > $1 ORDER BY c.number LIMIT $2"
                ))
                .bind(applied)
                .bind(CHANGES_PER_READ)
                .fetch_all(connection)
                .await?)
            })
            .await?;
        let revision = rows.first().map_or(0, |row| row.revision);
        let changes = rows.into_iter().filter_map(|row| {
            let (number, node) = (row.number?, row.node?);
            let account = row.account_id.and_then(|account| parse_id(&account));
            let gone = row.gone.unwrap_or_default().as_chunks().0.to_vec();
            let secrets = parse_lines(&row.lines.unwrap_or_default());
            Some(secrets.map(|secrets| CommittedChange { number, node, account, gone, secrets }))
        });
        Ok((revision, changes.collect::<Result<_, _>>()?))
    }

    /// Publishes a message about watched keys to all nodes.
    pub(crate) async fn notify_live(&mut self, message: &str) -> Result<(), StoreError> {
        self.with(async |connection| {
            sqlx::query("SELECT pg_notify($1, $2)").bind(LIVE).bind(message).execute(connection).await?;
            Ok(())
        })
        .await
    }

    /// Records the last change that a node has applied, and notifies the nodes that may wait for it on their
    /// `channels`.
    pub(crate) async fn notify_applied(
        &mut self,
        node: &str,
        applied: i64,
        channels: &[String],
    ) -> Result<(), StoreError> {
        self.with(async |connection| {
            sqlx::query(
                "WITH noted AS (UPDATE nodes SET applied = $2 WHERE id = $1 AND applied < $2)
                 SELECT pg_notify(channel, '') FROM unnest($3) channel",
            )
            .bind(node)
            .bind(applied)
            .bind(channels)
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
    }
}
