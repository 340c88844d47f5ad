//! The activity log of accounts and their keys. It is append-only: the database rejects updates, and rejects
//! deletions within a year unless the account itself is deleted.

use crate::store::{Store, StoreError, Tx};
use app::domain::account::AccountId;
use app::domain::activity::{
    ACTIVITY_PAGE_SIZE, Activity, ActivityKind, ActivityPage, ActivityPosition, ActivityQuery,
};
use app::domain::api_key::KeyId;
use app::domain::timestamp::{DAY, Timestamp};
use app::domain::usage::ClientName;
use sqlx::{AssertSqlSafe, FromRow};

/// Maximum number of rejected sign-ins recorded per account in 24 hours. It bounds the storage that unauthenticated
/// clients can use.
const REJECTED_SIGN_INS_PER_DAY: i64 = 100;
/// Maximum number of keys that [`ActivityPage::keys`] lists: those with the latest entries.
const LISTED_KEYS: i64 = 100;

/// An entry to insert.
#[derive(Clone, Debug)]
pub(crate) struct NewActivity<'a> {
    pub account: &'a AccountId,
    pub at: Timestamp,
    pub what: ActivityKind,
    /// The id and the name of the key; both empty for an action on the account.
    pub key: (&'a str, &'a str),
    /// The id and the name of the Mecha; both empty if there is none.
    pub mecha: (&'a str, &'a str),
    /// The new value, such as the new name; see [`ActivityKind`].
    pub became: &'a str,
    /// The client; empty for an action on the server itself.
    pub client: &'a ClientName,
}

#[derive(FromRow)]
struct ActivityRow {
    id: i64,
    at: i64,
    what: String,
    key_name: String,
    mecha_name: String,
    became: String,
    address: String,
    agent: String,
}

impl ActivityRow {
    /// Returns `None` if this version does not know the kind.
    fn into_activity(self) -> Option<Activity> {
        Some(Activity {
            id: self.id,
            at: Timestamp(self.at),
            what: ActivityKind::parse(&self.what)?,
            key_name: self.key_name,
            mecha_name: self.mecha_name,
            became: self.became,
            client: ClientName { address: self.address, agent: self.agent },
        })
    }
}

impl Store {
    /// A page of the activity of an account, newest first.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn activity(
        &self,
        account: &AccountId,
        query: &ActivityQuery,
    ) -> Result<ActivityPage, StoreError> {
        let (bound, from_oldest) = match query.position {
            ActivityPosition::Newest => (i64::MAX, false),
            ActivityPosition::Before(id) => (id, false),
            ActivityPosition::After(id) => (id, true),
        };
        let order = if from_oldest { "id > $2 ORDER BY id" } else { "id < $2 ORDER BY id DESC" };
        // Each parameter occurs, because the database would not know its type otherwise.
        let of_kind = if query.kind.is_some() { "what = $3" } else { "$3 = ''" };
        let of_key = if query.key.is_some() { "key_id = $4" } else { "$4 = ''" };
        let statement = format!(
            "SELECT id, at, what, key_name, mecha_name, became, address, agent FROM activity
             WHERE account_id = $1 AND {of_kind} AND {of_key} AND {order} LIMIT $5"
        );
        let limit = i64::try_from(ACTIVITY_PAGE_SIZE).unwrap_or(i64::MAX);
        let mut rows: Vec<ActivityRow> = sqlx::query_as(AssertSqlSafe(statement))
            .bind(&account.0)
            .bind(bound)
            .bind(query.kind.map_or("", ActivityKind::name))
            .bind(query.key.as_ref().map_or("", KeyId::as_str))
            .bind(limit + 1)
            .fetch_all(&self.read)
            .await?;
        let has_more = rows.len() > ACTIVITY_PAGE_SIZE;
        rows.truncate(ACTIVITY_PAGE_SIZE);
        let (has_older, has_newer) = match query.position {
            ActivityPosition::Newest => (has_more, false),
            ActivityPosition::Before(_) => (has_more, true),
            ActivityPosition::After(_) => (true, has_more),
        };
        if from_oldest {
            rows.reverse();
        }
        let entries = rows.into_iter().filter_map(ActivityRow::into_activity).collect();
        Ok(ActivityPage { entries, has_older, has_newer, keys: self.keys_with_activity(account).await? })
    }

    async fn keys_with_activity(&self, account: &AccountId) -> Result<Vec<(KeyId, String)>, StoreError> {
        let rows: Vec<(String, String)> = sqlx::query_as(
            "SELECT a.key_id, COALESCE(k.name, a.key_name) FROM activity a LEFT JOIN api_keys k ON k.id = a.key_id
             WHERE a.id IN (SELECT MAX(id) FROM activity WHERE account_id = $1 AND key_id <> '' GROUP BY key_id)
             ORDER BY a.id DESC LIMIT $2",
        )
        .bind(&account.0)
        .bind(LISTED_KEYS)
        .fetch_all(&self.read)
        .await?;
        Ok(rows.into_iter().filter_map(|(id, name)| Some((KeyId::parse(&id)?, name))).collect())
    }
}

/// Records an action in the transaction of the action. Ignores rejected sign-ins beyond [`REJECTED_SIGN_INS_PER_DAY`].
pub(crate) async fn insert(tx: &mut Tx, new: &NewActivity<'_>) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO activity (account_id, at, what, key_id, key_name, became, address, agent,
                               mecha_id, mecha_name)
         SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10
         WHERE $3 <> $11
            OR (SELECT count(*) FROM activity WHERE account_id = $1 AND what = $11 AND at > $12) < $13",
    )
    .bind(&new.account.0)
    .bind(new.at.0)
    .bind(new.what.name())
    .bind(new.key.0)
    .bind(new.key.1)
    .bind(new.became)
    .bind(&new.client.address)
    .bind(&new.client.agent)
    .bind(new.mecha.0)
    .bind(new.mecha.1)
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
