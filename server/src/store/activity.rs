//! The activity log of accounts and their keys. It is append-only: the database rejects updates, and rejects
//! deletions within a year unless the account itself is deleted.

use crate::store::{Store, StoreError, Tx};
use app::domain::account::AccountId;
use app::domain::activity::{ACTIVITY_PAGE_SIZE, Activity, ActivityKind, ActivityPage};
use app::domain::timestamp::{DAY, Timestamp};
use sqlx::FromRow;

/// Maximum number of rejected sign-ins recorded per account in 24 hours. It bounds the storage that unauthenticated
/// clients can use.
const REJECTED_SIGN_INS_PER_DAY: i64 = 100;

/// An entry to insert.
#[derive(Clone, Debug)]
pub(crate) struct NewActivity<'a> {
    pub account: &'a AccountId,
    pub at: Timestamp,
    pub what: ActivityKind,
    /// The id and the name of the key; both empty for an action on the account.
    pub key: (&'a str, &'a str),
    /// The new value, such as the new name; see [`ActivityKind`].
    pub became: &'a str,
    /// The IP address of the client; empty for an action on the server itself.
    pub address: &'a str,
}

#[derive(FromRow)]
struct ActivityRow {
    id: i64,
    at: i64,
    what: String,
    key_name: String,
    became: String,
    address: String,
}

impl Store {
    /// A page of the activity of an account, newest first: the entries with ids below `before`, or the latest ones.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn activity(
        &self,
        account: &AccountId,
        before: Option<i64>,
    ) -> Result<ActivityPage, StoreError> {
        let limit = i64::try_from(ACTIVITY_PAGE_SIZE).unwrap_or(i64::MAX);
        let rows: Vec<ActivityRow> = sqlx::query_as(
            "SELECT id, at, what, key_name, became, address FROM activity
             WHERE account_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
        )
        .bind(&account.0)
        .bind(before.unwrap_or(i64::MAX))
        .bind(limit + 1)
        .fetch_all(&self.read)
        .await?;
        let has_older = rows.len() > ACTIVITY_PAGE_SIZE;
        let entries = rows.into_iter().take(ACTIVITY_PAGE_SIZE).filter_map(|row| {
            Some(Activity {
                id: row.id,
                at: Timestamp(row.at),
                what: ActivityKind::parse(&row.what)?,
                key_name: row.key_name,
                became: row.became,
                address: row.address,
            })
        });
        Ok(ActivityPage { entries: entries.collect(), has_older })
    }
}

/// Records an action in the transaction of the action. Ignores rejected sign-ins beyond [`REJECTED_SIGN_INS_PER_DAY`].
pub(crate) async fn insert(tx: &mut Tx, new: &NewActivity<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO activity (account_id, at, what, key_id, key_name, became, address)
         SELECT $1, $2, $3, $4, $5, $6, $7
         WHERE $3 <> $8
            OR (SELECT count(*) FROM activity WHERE account_id = $1 AND what = $8 AND at > $9) < $10",
    )
    .bind(&new.account.0)
    .bind(new.at.0)
    .bind(new.what.name())
    .bind(new.key.0)
    .bind(new.key.1)
    .bind(new.became)
    .bind(new.address)
    .bind(ActivityKind::SignInRejected.name())
    .bind(new.at.plus(-DAY).0)
    .bind(REJECTED_SIGN_INS_PER_DAY)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Deletes the entries of `until` and earlier.
pub(crate) async fn forget(tx: &mut Tx, until: Timestamp) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM activity WHERE at <= $1").bind(until.0).execute(&mut **tx).await?;
    Ok(())
}
