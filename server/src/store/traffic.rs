//! Who used a key and who was refused with it.

use super::{Store, StoreError, Tx, is_postgres};
use app::domain::account::AccountId;
use app::domain::api_key::KeyId;
use app::domain::timestamp::{DAY, Timestamp};
use app::domain::traffic::{Program, Reason, Refused, Traffic, Use};
use sqlx::FromRow;

/// Programs that are counted one by one for each key and day; those beyond are counted together.
pub(crate) const PROGRAMS_A_DAY: i64 = 20;
/// Programs that are remembered as refused, for each key.
pub(crate) const REFUSED_A_KEY: i64 = 20;

#[derive(FromRow)]
struct UseRow {
    address: String,
    agent: String,
    times: i64,
    last_at: i64,
}

#[derive(FromRow)]
struct RefusedRow {
    address: String,
    agent: String,
    reason: String,
    times: i64,
    last_at: i64,
}

impl Store {
    /// Who used a key of the account, and who was refused with it, since this moment.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn traffic(
        &self,
        account: &AccountId,
        key: &KeyId,
        since: Timestamp,
    ) -> Result<Traffic, StoreError> {
        let uses: Vec<UseRow> = sqlx::query_as(
            "SELECT u.address, u.agent, CAST(SUM(u.uses) AS BIGINT) AS times, MAX(u.last_at) AS last_at
             FROM api_key_uses u JOIN api_keys k ON k.id = u.key_id
             WHERE k.id = $1 AND k.account_id = $2 AND u.last_at > $3
             GROUP BY u.address, u.agent ORDER BY MAX(u.last_at) DESC",
        )
        .bind(key.as_str())
        .bind(&account.0)
        .bind(since.0)
        .fetch_all(&self.read)
        .await?;
        let refused: Vec<RefusedRow> = sqlx::query_as(
            "SELECT r.address, r.agent, r.reason, r.times, r.last_at
             FROM api_key_refusals r JOIN api_keys k ON k.id = r.key_id
             WHERE k.id = $1 AND k.account_id = $2 AND r.last_at > $3
             ORDER BY r.last_at DESC",
        )
        .bind(key.as_str())
        .bind(&account.0)
        .bind(since.0)
        .fetch_all(&self.read)
        .await?;
        Ok(Traffic {
            uses: uses.into_iter().map(UseRow::into_use).collect(),
            refused: refused.into_iter().filter_map(RefusedRow::into_refused).collect(),
        })
    }
}

impl UseRow {
    fn into_use(self) -> Use {
        Use {
            program: Program { address: self.address, agent: self.agent },
            times: self.times.unsigned_abs(),
            last_at: Timestamp(self.last_at),
        }
    }
}

impl RefusedRow {
    /// `None` for a reason that this version does not know.
    fn into_refused(self) -> Option<Refused> {
        Some(Refused {
            program: Program { address: self.address, agent: self.agent },
            reason: Reason::parse(&self.reason)?,
            times: self.times.unsigned_abs(),
            last_at: Timestamp(self.last_at),
        })
    }
}

/// Keeps a key as it is until the transaction ends, before anything is written that belongs to it: whoever deletes it holds
/// the key first, too.
pub(crate) async fn hold(tx: &mut Tx, key: &str) -> Result<(), StoreError> {
    if is_postgres(tx) {
        sqlx::query("SELECT 1 FROM api_keys WHERE id = $1 FOR KEY SHARE")
            .bind(key)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// Adds to what is known of the use of a key. It changes nothing of the key itself, so it can undo nothing; of a
/// key that is gone it leaves nothing.
pub(crate) async fn add_use(tx: &mut Tx, key: &str, used: &Use) -> Result<(), StoreError> {
    let Use { program, times, last_at } = used;
    let times = i64::try_from(*times).unwrap_or(i64::MAX);
    let day = last_at.0.div_euclid(DAY);
    sqlx::query(
        "INSERT INTO api_key_last_uses (key_id, last_at, address, agent)
         SELECT $1, $2, $3, $4 WHERE EXISTS (SELECT 1 FROM api_keys WHERE id = $1)
         ON CONFLICT (key_id) DO UPDATE
         SET last_at = excluded.last_at, address = excluded.address, agent = excluded.agent
         WHERE excluded.last_at >= api_key_last_uses.last_at",
    )
    .bind(key)
    .bind(last_at.0)
    .bind(&program.address)
    .bind(&program.agent)
    .execute(&mut **tx)
    .await?;
    let counted = sqlx::query(
        "UPDATE api_key_uses SET uses = uses + $5, last_at = CASE WHEN last_at > $6 THEN last_at ELSE $6 END
         WHERE key_id = $1 AND day = $2 AND address = $3 AND agent = $4",
    )
    .bind(key)
    .bind(day)
    .bind(&program.address)
    .bind(&program.agent)
    .bind(times)
    .bind(last_at.0)
    .execute(&mut **tx)
    .await?;
    if counted.rows_affected() == 1 {
        return Ok(());
    }
    let programs: i64 =
        sqlx::query_scalar("SELECT COUNT(*) FROM api_key_uses WHERE key_id = $1 AND day = $2")
            .bind(key)
            .bind(day)
            .fetch_one(&mut **tx)
            .await?;
    let others = Program::default();
    let program = if programs < PROGRAMS_A_DAY { program } else { &others };
    sqlx::query(
        "INSERT INTO api_key_uses (key_id, day, address, agent, uses, last_at)
         SELECT $1, $2, $3, $4, $5, $6 WHERE EXISTS (SELECT 1 FROM api_keys WHERE id = $1)
         ON CONFLICT (key_id, day, address, agent)
         DO UPDATE SET uses = api_key_uses.uses + excluded.uses,
            last_at = CASE WHEN api_key_uses.last_at > excluded.last_at THEN api_key_uses.last_at
                           ELSE excluded.last_at END",
    )
    .bind(key)
    .bind(day)
    .bind(&program.address)
    .bind(&program.agent)
    .bind(times)
    .bind(last_at.0)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Adds to what is known of refusals with a key, of which the latest are kept. Of a key that there is not, it
/// leaves nothing.
pub(crate) async fn add_refused(tx: &mut Tx, key: &str, refused: &Refused) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO api_key_refusals (key_id, address, agent, reason, times, last_at)
         SELECT $1, $2, $3, $4, $5, $6 WHERE EXISTS (SELECT 1 FROM api_keys WHERE id = $1)
         ON CONFLICT (key_id, address, agent, reason)
         DO UPDATE SET times = api_key_refusals.times + excluded.times,
            last_at = CASE WHEN api_key_refusals.last_at > excluded.last_at THEN api_key_refusals.last_at
                           ELSE excluded.last_at END",
    )
    .bind(key)
    .bind(&refused.program.address)
    .bind(&refused.program.agent)
    .bind(refused.reason.name())
    .bind(i64::try_from(refused.times).unwrap_or(i64::MAX))
    .bind(refused.last_at.0)
    .execute(&mut **tx)
    .await?;
    sqlx::query(
        "DELETE FROM api_key_refusals WHERE key_id = $1 AND (reason = $3) = $4 AND last_at <
           (SELECT MIN(last_at) FROM
             (SELECT last_at FROM api_key_refusals WHERE key_id = $1 AND (reason = $3) = $4
              ORDER BY last_at DESC LIMIT $2) latest)",
    )
    .bind(key)
    .bind(REFUSED_A_KEY)
    // Anybody who knows a Key ID can send wrong secrets: these crowd out only each other.
    .bind(Reason::WrongSecret.name())
    .bind(refused.reason == Reason::WrongSecret)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets what was last seen at `until` or before.
pub(crate) async fn forget(tx: &mut Tx, until: Timestamp) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM api_key_uses WHERE day < $1")
        .bind(until.0.div_euclid(DAY))
        .execute(&mut **tx)
        .await?;
    sqlx::query("DELETE FROM api_key_refusals WHERE last_at <= $1").bind(until.0).execute(&mut **tx).await?;
    Ok(())
}
