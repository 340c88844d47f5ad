//! What the console remembers about itself.

use crate::store::{Store, StoreError, Tx};
use app::domain::timestamp::Timestamp;

/// There has been an account.
const HAD_ACCOUNT: &str = "had-account";
/// When the clock was last found to be right.
pub(super) const CLOCK_CHECKED_AT: &str = "clock-checked-at";

impl Store {
    /// Whether there has ever been an account in this database.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn had_account(&self) -> Result<bool, StoreError> {
        Ok(self.instance_state(HAD_ACCOUNT).await?.is_some())
    }

    /// When the clock was last found to be right; `None` for a new database.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn clock_checked_at(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.instance_state(CLOCK_CHECKED_AT).await?.map(Timestamp))
    }

    /// The clock of the machine that the database runs on; `None` if that is this machine.
    ///
    /// # Errors
    /// The database does not answer.
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
    let known = sqlx::query("SELECT 1 FROM instance_state WHERE name = $1").bind(HAD_ACCOUNT);
    Ok(known.fetch_optional(&mut **tx).await?.is_some())
}

/// Remembers that there is an account.
pub(super) async fn record_account(tx: &mut Tx) -> Result<(), StoreError> {
    record(tx, HAD_ACCOUNT, 1).await
}

/// Remembers that the clock was found to be right.
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
