//! Rate-limit counters that all nodes on one PostgreSQL database share. They implement GCRA (ITU-T I.371): a counter is
//! stored as the time at which it will be empty. The table is unlogged: a crash of the database may lose the counters.

use crate::store::{Store, StoreError};
use std::time::Duration;

impl Store {
    /// Counts an attempt. The limit is a burst of `burst` attempts, plus one attempt per `interval`. Returns how long
    /// to wait if the limit is exceeded. All times are those of the database's clock.
    ///
    /// # Errors
    /// The database does not respond.
    pub(crate) async fn count_attempt(
        &self,
        counter: &[u8],
        burst: u32,
        interval: Duration,
    ) -> Result<Option<Duration>, StoreError> {
        let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        let capacity = interval.saturating_mul(i64::from(burst));
        let counted = sqlx::query(
            "INSERT INTO attempts (counter, empty_at) SELECT $1, now + $2 FROM milliseconds_now() now
             ON CONFLICT (counter) DO UPDATE SET empty_at = GREATEST(attempts.empty_at, milliseconds_now()) + $2
             WHERE GREATEST(attempts.empty_at, milliseconds_now()) + $2 <= milliseconds_now() + $3",
        )
        .bind(counter)
        .bind(interval)
        .bind(capacity)
        .execute(&self.write)
        .await?;
        if counted.rows_affected() == 1 {
            return Ok(None);
        }
        let wait: Option<i64> = sqlx::query_scalar(
            "SELECT empty_at + $2 - $3 - milliseconds_now() FROM attempts WHERE counter = $1",
        )
        .bind(counter)
        .bind(interval)
        .bind(capacity)
        .fetch_optional(&self.write)
        .await?;
        Ok(Some(Duration::from_millis(wait.unwrap_or_default().max(1).unsigned_abs())))
    }

    /// Deletes empty counters.
    ///
    /// # Errors
    /// The database does not respond.
    pub(crate) async fn delete_empty_counters(&self) -> Result<(), StoreError> {
        if self.is_shared() {
            sqlx::query("DELETE FROM attempts WHERE empty_at < milliseconds_now()")
                .execute(&self.write)
                .await?;
        }
        Ok(())
    }
}
