//! Copies of a database, and what became of it since.

use crate::store::StoreError;
use crate::store::instance_state::CLOCK_CHECKED_AT;
use crate::store::sqlite::{BUSY_TIMEOUT, MIGRATIONS};
use app::domain::activity::What;
use app::domain::timestamp::Timestamp;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, FromRow, Row};
use std::collections::BTreeMap;
use std::path::Path;

/// A key, as far as it matters whether it comes back.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct BackedUpKey {
    /// Its handle.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Whose it is.
    pub email: String,
    active: bool,
    secret_digest: Vec<u8>,
    old_until: Option<i64>,
    expires_at: Option<i64>,
}

/// A database file that no server has open.
#[derive(Debug)]
pub struct Copy(SqliteConnection);

impl Copy {
    /// Opens a file that is there, without changing it.
    ///
    /// # Errors
    /// It is not there, or is no database.
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

    /// Writes all of it, as it is at this moment, to a file that is empty. Whoever writes meanwhile does not wait.
    ///
    /// # Errors
    /// The file is not empty, or the disk is full.
    pub async fn write_to(&mut self, file: &Path) -> Result<(), StoreError> {
        sqlx::query("VACUUM INTO $1").bind(file.to_string_lossy().into_owned()).execute(&mut self.0).await?;
        Ok(())
    }

    /// Makes sure that it is whole.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with what SQLite finds wrong.
    pub async fn check(&mut self) -> Result<(), StoreError> {
        let found: String = sqlx::query("PRAGMA integrity_check").fetch_one(&mut self.0).await?.try_get(0)?;
        if found == "ok" { Ok(()) } else { Err(StoreError::Damaged(found)) }
    }

    /// Brings its tables up to date.
    ///
    /// # Errors
    /// It was written by a newer version, or is no database of ours.
    pub async fn migrate(&mut self) -> Result<(), StoreError> {
        // What is not ours must not become ours by running the migrations in it.
        sqlx::query("SELECT 1 FROM _sqlx_migrations").execute(&mut self.0).await?;
        Ok(MIGRATIONS.run(&mut self.0).await?)
    }

    /// All keys, by their handles.
    ///
    /// # Errors
    /// It is no database of ours.
    pub async fn keys(&mut self) -> Result<BTreeMap<String, BackedUpKey>, StoreError> {
        let keys: Vec<BackedUpKey> = sqlx::query_as(
            "SELECT k.id, k.name, a.email, k.active, k.secret_digest, k.old_until, k.expires_at
             FROM api_keys k JOIN accounts a ON a.id = k.account_id",
        )
        .fetch_all(&mut self.0)
        .await?;
        Ok(keys.into_iter().map(|key| (key.id.clone(), key)).collect())
    }

    /// Ends all sessions.
    ///
    /// # Errors
    /// The disk is full.
    pub async fn end_sessions(&mut self) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM sessions").execute(&mut self.0).await?;
        Ok(())
    }

    /// Makes the next start take the clock as it is: the copy may be older than a server is ever stopped, and the operator
    /// is there to see it.
    ///
    /// # Errors
    /// The disk is full.
    pub async fn forget_clock(&mut self) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM instance_state WHERE name = $1")
            .bind(CLOCK_CHECKED_AT)
            .execute(&mut self.0)
            .await?;
        Ok(())
    }

    /// Switches all keys off, and tells their owners.
    ///
    /// # Errors
    /// The disk is full.
    pub async fn switch_all_off(&mut self, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO activity (account_id, at, what, key_id, key_name, became, address)
             SELECT account_id, $1, $2, id, name, '', '' FROM api_keys WHERE active = 1",
        )
        .bind(now.0)
        .bind(What::KeySwitchedOff.name())
        .execute(&mut self.0)
        .await?;
        sqlx::query("UPDATE api_keys SET active = 0").execute(&mut self.0).await?;
        Ok(())
    }

    /// Closes it, with nothing left beside the file.
    ///
    /// # Errors
    /// The disk is full.
    pub async fn close(mut self) -> Result<(), StoreError> {
        sqlx::query("PRAGMA journal_mode = DELETE").execute(&mut self.0).await?;
        Ok(self.0.close().await?)
    }
}
