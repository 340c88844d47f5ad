//! The state of the instance, stored as named numbers.

use crate::store::{Store, StoreError, Tx};
use app::domain::timestamp::Timestamp;

/// Present once the database has had an account.
const HAD_ACCOUNT: &str = "had-account";
/// When the clock was last found to be correct, in milliseconds since 1970.
pub(super) const CLOCK_CHECKED_AT: &str = "clock-checked-at";

impl Store {
    /// Whether there has ever been an account in this database.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn had_account(&self) -> Result<bool, StoreError> {
        Ok(self.instance_state(HAD_ACCOUNT).await?.is_some())
    }

    /// When the clock was last found to be correct; `None` for a new database.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn clock_checked_at(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.instance_state(CLOCK_CHECKED_AT).await?.map(Timestamp))
    }

    /// The current time of the database server; `None` for SQLite, which runs on this machine.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn database_clock(&self) -> Result<Option<Timestamp>, StoreError> {
        if !self.is_shared() {
            return Ok(None);
        }
        let now = sqlx::query_scalar("SELECT milliseconds_now()").fetch_one(&self.read).await?;
        Ok(Some(Timestamp(now)))
    }

    async fn instance_state(&self, name: &str) -> Result<Option<i64>, StoreError> {
        Ok(sqlx::query_scalar("SELECT value FROM instance_state WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.read)
            .await?)
    }
}

/// Whether there has ever been an account, in the transaction that may create one.
pub(super) async fn had_account(tx: &mut Tx) -> Result<bool, StoreError> {
    let query = sqlx::query("SELECT 1 FROM instance_state WHERE name = $1").bind(HAD_ACCOUNT);
    Ok(query.fetch_optional(&mut **tx).await?.is_some())
}

/// Records that the database has an account.
pub(super) async fn record_account(tx: &mut Tx) -> Result<(), StoreError> {
    record(tx, HAD_ACCOUNT, 1).await
}

/// Records that the clock is correct at `now`.
pub(crate) async fn record_clock(tx: &mut Tx, now: Timestamp) -> Result<(), StoreError> {
    record(tx, CLOCK_CHECKED_AT, now.0).await
}

async fn record(tx: &mut Tx, name: &str, value: i64) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO instance_state (name, value) VALUES ($1, $2)
         ON CONFLICT (name) DO UPDATE SET value = excluded.value",
    )
    .bind(name)
    .bind(value)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
