//! Offline access to a database file, to back it up and to restore it.

use crate::store::StoreError;
use crate::store::instance_state::CLOCK_CHECKED_AT;
use crate::store::sqlite::{BUSY_TIMEOUT, MIGRATIONS};
use app::domain::activity::ActivityKind;
use app::domain::timestamp::Timestamp;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, FromRow, Row};
use std::collections::BTreeMap;
use std::path::Path;

/// A key in a database file. Restoring compares the keys of both files to report what changes.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct BackedUpKey {
    /// Its id.
    pub id: String,
    /// Its name, after that of its Mecha.
    pub name: String,
    /// The email address of its owner.
    pub email: String,
    /// Whether it and its Mecha are switched on.
    active: bool,
    secret_digest: Vec<u8>,
    old_until: Option<i64>,
    expires_at: Option<i64>,
    scopes: Option<String>,
}

/// A connection to a database file that no server uses.
#[derive(Debug)]
pub struct Copy(SqliteConnection);

impl Copy {
    /// Opens an existing file without changing it.
    ///
    /// # Errors
    /// The file does not exist or is not a database.
    pub async fn open(file: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(false)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("temp_store", "memory")
            .disable_statement_logging();
        Ok(Self(options.connect().await?))
    }

    /// Writes a consistent snapshot of the database to an empty file. Concurrent writers are not blocked.
    ///
    /// # Errors
    /// The file is not empty, or the disk is full.
    pub async fn write_to(&mut self, file: &Path) -> Result<(), StoreError> {
        sqlx::query("VACUUM INTO $1").bind(file.to_string_lossy().into_owned()).execute(&mut self.0).await?;
        Ok(())
    }

    /// Checks the integrity of the file.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with SQLite's description of the damage.
    pub async fn check(&mut self) -> Result<(), StoreError> {
        let found: String = sqlx::query("PRAGMA integrity_check").fetch_one(&mut self.0).await?.try_get(0)?;
        if found == "ok" { Ok(()) } else { Err(StoreError::Damaged(found)) }
    }

    /// Runs all pending migrations.
    ///
    /// # Errors
    /// The file was written by a newer version, or is not a database of this application.
    pub async fn migrate(&mut self) -> Result<(), StoreError> {
        // Fails if the table is missing: migrations must not run on a database of another application.
        sqlx::query("SELECT 1 FROM _sqlx_migrations").execute(&mut self.0).await?;
        Ok(MIGRATIONS.run(&mut self.0).await?)
    }

    /// All keys, by id.
    ///
    /// # Errors
    /// The file is not a database of this application.
    pub async fn keys(&mut self) -> Result<BTreeMap<String, BackedUpKey>, StoreError> {
        let keys: Vec<BackedUpKey> = sqlx::query_as(
            "SELECT k.id, CASE WHEN m.id IS NULL THEN k.name ELSE m.name || ': ' || k.name END AS name, a.email,
                    k.active * COALESCE(m.active, 1) AS active, k.secret_digest, k.old_until, k.expires_at,
                    k.scopes
             FROM api_keys k JOIN accounts a ON a.id = k.account_id LEFT JOIN mechas m ON m.id = k.mecha_id",
        )
        .fetch_all(&mut self.0)
        .await?;
        Ok(keys.into_iter().map(|key| (key.id.clone(), key)).collect())
    }

    /// Deletes all sessions.
    ///
    /// # Errors
    /// The disk is full.
    pub async fn delete_sessions(&mut self) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM sessions").execute(&mut self.0).await?;
        Ok(())
    }

    /// Deletes the time of the last clock check, so that the next start accepts the system clock as it is. A backup may
    /// be older than any usual downtime, and the operator is present to notice a wrong clock.
    ///
    /// # Errors
    /// The disk is full.
    pub async fn reset_clock_check(&mut self) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM instance_state WHERE name = $1")
            .bind(CLOCK_CHECKED_AT)
            .execute(&mut self.0)
            .await?;
        Ok(())
    }

    /// Deactivates all keys, and records this in the activity of their owners.
    ///
    /// # Errors
    /// The disk is full.
    pub async fn deactivate_all_keys(&mut self, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO activity (account_id, at, what, key_id, key_name, became, address, mecha_id, mecha_name)
             SELECT k.account_id, $1, $2, k.id, k.name, '', '', COALESCE(k.mecha_id, ''), COALESCE(m.name, '')
             FROM api_keys k LEFT JOIN mechas m ON m.id = k.mecha_id WHERE k.active = 1",
        )
        .bind(now.0)
        .bind(ActivityKind::KeySwitchedOff.name())
        .execute(&mut self.0)
        .await?;
        sqlx::query("UPDATE api_keys SET active = 0").execute(&mut self.0).await?;
        Ok(())
    }

    /// Closes the database. No other files (`-wal`, `-shm`) remain beside it.
    ///
    /// # Errors
    /// The disk is full.
    pub async fn close(mut self) -> Result<(), StoreError> {
        sqlx::query("PRAGMA journal_mode = DELETE").execute(&mut self.0).await?;
        Ok(self.0.close().await?)
    }
}
