//! Counters that nodes on one PostgreSQL share (GCRA, ITU-T I.371: a counter is the moment at which it will have run
//! down). They are not on the disk at once: a crash of the database may forget them.

use crate::store::{Store, StoreError};
use std::time::Duration;

impl Store {
    /// Counts an attempt: so many at once, and one more after each `every`. Answers how long to wait, if there were too
    /// many. The database's clock counts.
    ///
    /// # Errors
    /// The database does not answer.
    pub(crate) async fn count_attempt(
        &self,
        counter: &[u8],
        burst: u32,
        every: Duration,
    ) -> Result<Option<Duration>, StoreError> {
        let every = i64::try_from(every.as_millis()).unwrap_or(i64::MAX);
        let full = every.saturating_mul(i64::from(burst));
        let counted = sqlx::query(
            "INSERT INTO attempts (counter, empty_at) SELECT $1, now + $2 FROM milliseconds_now() now
             ON CONFLICT (counter) DO UPDATE SET empty_at = GREATEST(attempts.empty_at, milliseconds_now()) + $2
             WHERE GREATEST(attempts.empty_at, milliseconds_now()) + $2 <= milliseconds_now() + $3",
        )
        .bind(counter)
        .bind(every)
        .bind(full)
        .execute(&self.write)
        .await?;
        if counted.rows_affected() == 1 {
            return Ok(None);
        }
        let wait: Option<i64> = sqlx::query_scalar(
            "SELECT empty_at + $2 - $3 - milliseconds_now() FROM attempts WHERE counter = $1",
        )
        .bind(counter)
        .bind(every)
        .bind(full)
        .fetch_optional(&self.write)
        .await?;
        Ok(Some(Duration::from_millis(wait.unwrap_or_default().max(1).unsigned_abs())))
    }

    /// Forgets counters that have run down.
    ///
    /// # Errors
    /// The database does not answer.
    pub(crate) async fn forget_attempts(&self) -> Result<(), StoreError> {
        if self.is_shared() {
            sqlx::query("DELETE FROM attempts WHERE empty_at < milliseconds_now()")
                .execute(&self.write)
                .await?;
        }
        Ok(())
    }
}
