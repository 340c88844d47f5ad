//! What was done to accounts and their keys. It is only ever added to; the database refuses anything else.

use crate::store::{Store, StoreError, Tx};
use app::domain::account::AccountId;
use app::domain::activity::{ACTIVITY_A_PAGE, Activity, ActivityPage, What};
use app::domain::timestamp::{DAY, Timestamp};
use sqlx::FromRow;

/// Refused attempts to sign in that are kept for an account in a day, so that strangers cannot fill the disk.
const REFUSED_SIGN_INS_A_DAY: i64 = 100;

/// Something that was done.
#[derive(Clone, Debug)]
pub(crate) struct NewActivity<'a> {
    pub account: &'a AccountId,
    pub at: Timestamp,
    pub what: What,
    /// The handle and the name of a key; empty if it was done to the account.
    pub key: (&'a str, &'a str),
    /// What it became; see [`What`].
    pub became: &'a str,
    /// Where it was done from; empty: on the server itself.
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
    /// What was done to an account before the entry of this number, newest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn activity(
        &self,
        account: &AccountId,
        before: Option<i64>,
    ) -> Result<ActivityPage, StoreError> {
        let most = i64::try_from(ACTIVITY_A_PAGE).unwrap_or(i64::MAX);
        let rows: Vec<ActivityRow> = sqlx::query_as(
            "SELECT id, at, what, key_name, became, address FROM activity
             WHERE account_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3",
        )
        .bind(&account.0)
        .bind(before.unwrap_or(i64::MAX))
        .bind(most + 1)
        .fetch_all(&self.read)
        .await?;
        let has_older = rows.len() > ACTIVITY_A_PAGE;
        let entries = rows.into_iter().take(ACTIVITY_A_PAGE).filter_map(|row| {
            Some(Activity {
                id: row.id,
                at: Timestamp(row.at),
                what: What::parse(&row.what)?,
                key_name: row.key_name,
                became: row.became,
                address: row.address,
            })
        });
        Ok(ActivityPage { entries: entries.collect(), has_older })
    }
}

/// Writes down what is done in the same transaction.
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
    .bind(What::SignInRefused.name())
    .bind(new.at.plus(-DAY).0)
    .bind(REFUSED_SIGN_INS_A_DAY)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets what was done at `until` or before.
pub(crate) async fn forget(tx: &mut Tx, until: Timestamp) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM activity WHERE at <= $1").bind(until.0).execute(&mut **tx).await?;
    Ok(())
}
