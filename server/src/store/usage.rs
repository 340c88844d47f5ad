//! Usage of keys: which clients used a key, and which were denied.

use crate::store::{Store, StoreError, Tx, is_postgres};
use app::domain::account::AccountId;
use app::domain::api_key::KeyId;
use app::domain::timestamp::Timestamp;
use app::domain::usage::{
    ClientName, ClientUse, DailyUsage, DayUsage, DenialReason, DeniedClient, KeyUsage, USAGE_DAYS,
};
use serde::Serialize;
use sqlx::FromRow;
use std::borrow::Cow;
use std::collections::HashMap;

/// Maximum number of clients that are counted individually per key and day. Further clients are counted together.
pub(crate) const CLIENTS_PER_KEY_AND_DAY: i64 = 20;
/// Maximum number of denials stored per key: as many for wrong secrets as for all other reasons together.
pub(crate) const DENIALS_PER_KEY: i64 = 20;

#[derive(FromRow)]
struct UseRow {
    address: String,
    agent: String,
    times: i64,
    last_at: i64,
}

#[derive(FromRow)]
struct DeniedRow {
    address: String,
    agent: String,
    reason: String,
    times: i64,
    last_at: i64,
}

impl Store {
    /// The clients that used a key of the account after `since`, and those that were denied, most recent first.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn usage(
        &self,
        account: &AccountId,
        key: &KeyId,
        since: Timestamp,
    ) -> Result<KeyUsage, StoreError> {
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
        let denied: Vec<DeniedRow> = sqlx::query_as(
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
        Ok(KeyUsage {
            uses: uses.into_iter().map(UseRow::into_use).collect(),
            denied: denied.into_iter().filter_map(DeniedRow::into_denied).collect(),
        })
    }
}

impl Store {
    /// The usage per day of the account's keys that were used, as of the day `today`.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn daily_usage(
        &self,
        account: &AccountId,
        today: i64,
    ) -> Result<HashMap<KeyId, DailyUsage>, StoreError> {
        let rows: Vec<DayRow> = sqlx::query_as(
            "SELECT d.key_id, d.day, d.allowed, d.denied
             FROM api_key_days d JOIN api_keys k ON k.id = d.key_id
             WHERE k.account_id = $1 AND d.day > $2",
        )
        .bind(&account.0)
        .bind(today - i64::try_from(USAGE_DAYS).unwrap_or(i64::MAX))
        .fetch_all(&self.read)
        .await?;
        let mut usage = HashMap::new();
        for row in rows {
            let Some(key) = KeyId::parse(&row.key_id) else { continue };
            let (allowed, denied) = (row.allowed.unsigned_abs(), row.denied.unsigned_abs());
            let of_key = usage.entry(key).or_insert_with(|| DailyUsage::none(today));
            of_key.add(row.day, DayUsage { allowed, denied });
        }
        Ok(usage)
    }
}

#[derive(FromRow)]
struct DayRow {
    key_id: String,
    day: i64,
    allowed: i64,
    denied: i64,
}

impl UseRow {
    fn into_use(self) -> ClientUse {
        ClientUse {
            client: ClientName { address: self.address, agent: self.agent },
            times: self.times.unsigned_abs(),
            last_at: Timestamp(self.last_at),
        }
    }
}

impl DeniedRow {
    /// Returns `None` if this version does not know the reason.
    fn into_denied(self) -> Option<DeniedClient> {
        let (reason, scope) = self.reason.split_once(' ').unwrap_or((&self.reason, ""));
        Some(DeniedClient {
            reason: DenialReason::parse(reason)?,
            scope: scope.to_owned(),
            client: ClientName { address: self.address, agent: self.agent },
            times: self.times.unsigned_abs(),
            last_at: Timestamp(self.last_at),
        })
    }
}

/// The usage of a key since the last flush.
pub(crate) struct UnflushedUsage {
    /// The id of the key.
    pub key: String,
    /// The clients that used it; one entry per client.
    pub uses: Vec<ClientUse>,
    /// The last use of its previous secret.
    pub last_of_previous: Option<ClientUse>,
    /// The clients that were denied; one entry per client and reason.
    pub denied: Vec<DeniedClient>,
}

/// A use or a denial: key, day, address, user agent, reason, count, time of the last one, and whether it is the last
/// use of the key. Serialized as an array, for `with_lines!`.
#[derive(Serialize)]
struct UsageRow<'s>(&'s str, i64, &'s str, &'s str, Cow<'s, str>, i64, i64, i64);

/// Prepends a common table expression `lines` to a statement. It reads the first parameter, a JSON array of
/// [`UsageRow`]s. One statement handles many keys: with separate statements per key, a flush of 100,000 keys took 14 s
/// of CPU time.
macro_rules! with_lines {
    ($tx:expr, $statement:literal) => {
        if is_postgres($tx) {
            with_lines!(from "json_array_elements(CAST($1 AS json)) AS line (value)", $statement)
        } else {
            with_lines!(from "json_each($1)", $statement)
        }
    };
    (from $lines:literal, $statement:literal) => {
        concat!(
            "WITH lines AS MATERIALIZED (SELECT
                value->>0 AS key_id, CAST(value->>1 AS BIGINT) AS day, value->>2 AS address, value->>3 AS agent,
                value->>4 AS reason, CAST(value->>5 AS BIGINT) AS times, CAST(value->>6 AS BIGINT) AS last_at,
                CAST(value->>7 AS BIGINT) AS is_last
             FROM ", $lines, ") ", $statement
        )
    };
}

/// Adds the usage of some keys to the stored usage. Writes nothing to the keys themselves, so it cannot overwrite a
/// change. Ignores keys that do not exist.
pub(crate) async fn add(tx: &mut Tx, seen: &[UnflushedUsage]) -> Result<(), StoreError> {
    lock_keys(tx, seen).await?;
    let uses: Vec<UsageRow<'_>> = seen.iter().flat_map(use_rows).collect();
    if !uses.is_empty() {
        add_uses(tx, &json(&uses)?).await?;
    }
    let of_previous: Vec<UsageRow<'_>> = seen.iter().filter_map(previous_row).collect();
    if !of_previous.is_empty() {
        add_last_of_previous(tx, &json(&of_previous)?).await?;
    }
    let denials: Vec<UsageRow<'_>> = seen.iter().flat_map(denial_rows).collect();
    if !denials.is_empty() {
        add_denials(tx, &json(&denials)?).await?;
    }
    Ok(())
}

/// Locks the keys, so that no other transaction deletes one before this transaction ends. SQLite needs no lock: it has
/// one writer at a time.
async fn lock_keys(tx: &mut Tx, seen: &[UnflushedUsage]) -> Result<(), StoreError> {
    if is_postgres(tx) {
        let keys: Vec<&str> = seen.iter().map(|seen| seen.key.as_str()).collect();
        sqlx::query(
            "SELECT 1 FROM api_keys WHERE id IN (SELECT * FROM json_array_elements_text(CAST($1 AS json)))
             ORDER BY id FOR KEY SHARE",
        )
        .bind(json(&keys)?)
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// Updates the last use of previous secrets. Call it after [`add_uses`], which inserts the rows.
async fn add_last_of_previous(tx: &mut Tx, lines: &str) -> Result<(), StoreError> {
    let add = with_lines!(
        tx,
        "UPDATE api_key_last_uses SET previous_last_at = l.last_at, previous_address = l.address, previous_agent = l.agent
         FROM lines l
         WHERE api_key_last_uses.key_id = l.key_id AND COALESCE(api_key_last_uses.previous_last_at, 0) <= l.last_at"
    );
    sqlx::query(add).bind(lines).execute(&mut **tx).await?;
    Ok(())
}

async fn add_uses(tx: &mut Tx, lines: &str) -> Result<(), StoreError> {
    let add_last = with_lines!(
        tx,
        "INSERT INTO api_key_last_uses (key_id, last_at, address, agent)
         SELECT l.key_id, l.last_at, l.address, l.agent FROM lines l JOIN api_keys k ON k.id = l.key_id
         WHERE l.is_last = 1 ORDER BY l.key_id
         ON CONFLICT (key_id) DO UPDATE
         SET last_at = excluded.last_at, address = excluded.address, agent = excluded.agent
         WHERE excluded.last_at >= api_key_last_uses.last_at"
    );
    sqlx::query(add_last).bind(lines).execute(&mut **tx).await?;
    // All nodes update rows in the same order, which prevents deadlocks.
    let count = with_lines!(
        tx,
        ", known AS (
            SELECT l.*,
               EXISTS (SELECT 1 FROM api_key_uses u WHERE u.key_id = l.key_id AND u.day = l.day
                  AND u.address = l.address AND u.agent = l.agent) AS is_counted,
               (SELECT COUNT(*) FROM api_key_uses u WHERE u.key_id = l.key_id AND u.day = l.day
                  AND u.address <> '') AS programs
            FROM lines l WHERE EXISTS (SELECT 1 FROM api_keys k WHERE k.id = l.key_id)),
         placed AS (
            SELECT known.*, is_counted OR programs + ROW_NUMBER() OVER
               (PARTITION BY key_id, day, is_counted, address = '' ORDER BY last_at DESC) <= $2 AS is_apart
            FROM known)
         INSERT INTO api_key_uses (key_id, day, address, agent, uses, last_at)
         SELECT key_id, day, CASE WHEN is_apart THEN address ELSE '' END,
            CASE WHEN is_apart THEN agent ELSE '' END, CAST(SUM(times) AS BIGINT), MAX(last_at)
         FROM placed WHERE 1 = 1 GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
         ON CONFLICT (key_id, day, address, agent)
         DO UPDATE SET uses = api_key_uses.uses + excluded.uses,
            last_at = CASE WHEN api_key_uses.last_at > excluded.last_at THEN api_key_uses.last_at
                           ELSE excluded.last_at END"
    );
    sqlx::query(count).bind(lines).bind(CLIENTS_PER_KEY_AND_DAY).execute(&mut **tx).await?;
    let count_days = with_lines!(
        tx,
        "INSERT INTO api_key_days (key_id, day, allowed, denied)
         SELECT l.key_id, l.day, CAST(SUM(l.times) AS BIGINT), 0
         FROM lines l JOIN api_keys k ON k.id = l.key_id
         WHERE 1 = 1 GROUP BY 1, 2 ORDER BY 1, 2
         ON CONFLICT (key_id, day) DO UPDATE SET allowed = api_key_days.allowed + excluded.allowed"
    );
    sqlx::query(count_days).bind(lines).execute(&mut **tx).await?;
    Ok(())
}

/// Adds denials and deletes the oldest ones beyond [`DENIALS_PER_KEY`]. Any client that knows a key id can send wrong
/// secrets: these displace only each other, not the denials for other reasons.
async fn add_denials(tx: &mut Tx, lines: &str) -> Result<(), StoreError> {
    // First, because it locks one row per key and day: nodes that flush denials of the same key then wait for each other
    // here, and not in the order in which the others lock refusals.
    let count_days = with_lines!(
        tx,
        "INSERT INTO api_key_days (key_id, day, allowed, denied)
         SELECT l.key_id, l.day, 0, CAST(SUM(l.times) AS BIGINT)
         FROM lines l JOIN api_keys k ON k.id = l.key_id
         WHERE 1 = 1 GROUP BY 1, 2 ORDER BY 1, 2
         ON CONFLICT (key_id, day) DO UPDATE SET denied = api_key_days.denied + excluded.denied"
    );
    sqlx::query(count_days).bind(lines).execute(&mut **tx).await?;
    let count = with_lines!(
        tx,
        "INSERT INTO api_key_refusals (key_id, address, agent, reason, times, last_at)
         SELECT l.key_id, l.address, l.agent, l.reason, l.times, l.last_at
         FROM lines l JOIN api_keys k ON k.id = l.key_id
         WHERE 1 = 1 ORDER BY l.key_id, l.address, l.agent, l.reason
         ON CONFLICT (key_id, address, agent, reason)
         DO UPDATE SET times = api_key_refusals.times + excluded.times,
            last_at = CASE WHEN api_key_refusals.last_at > excluded.last_at THEN api_key_refusals.last_at
                           ELSE excluded.last_at END"
    );
    sqlx::query(count).bind(lines).execute(&mut **tx).await?;
    let trim = with_lines!(
        tx,
        "DELETE FROM api_key_refusals WHERE (key_id, address, agent, reason) IN
           (SELECT key_id, address, agent, reason FROM
             (SELECT r.*, RANK() OVER (PARTITION BY key_id, reason = $3 ORDER BY last_at DESC) AS place
              FROM api_key_refusals r WHERE r.key_id IN (SELECT l.key_id FROM lines l)) ranked
            WHERE place > $2)"
    );
    sqlx::query(trim)
        .bind(lines)
        .bind(DENIALS_PER_KEY)
        .bind(DenialReason::WrongSecret.name())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn use_rows(seen: &UnflushedUsage) -> impl Iterator<Item = UsageRow<'_>> {
    let last = seen.uses.iter().enumerate().max_by_key(|(_, used)| used.last_at).map(|(at, _)| at);
    seen.uses.iter().enumerate().map(move |(at, used)| {
        let (ClientName { address, agent }, last_at) = (&used.client, used.last_at.0);
        let is_last = i64::from(Some(at) == last);
        UsageRow(
            &seen.key,
            used.last_at.day(),
            address,
            agent,
            "".into(),
            times(used.times),
            last_at,
            is_last,
        )
    })
}

fn previous_row(seen: &UnflushedUsage) -> Option<UsageRow<'_>> {
    let used = seen.last_of_previous.as_ref()?;
    let ClientName { address, agent } = &used.client;
    Some(UsageRow(&seen.key, 0, address, agent, "".into(), times(used.times), used.last_at.0, 0))
}

fn denial_rows(seen: &UnflushedUsage) -> impl Iterator<Item = UsageRow<'_>> {
    seen.denied.iter().map(|denied| {
        let (ClientName { address, agent }, last_at) = (&denied.client, denied.last_at.0);
        UsageRow(
            &seen.key,
            denied.last_at.day(),
            address,
            agent,
            stored_reason(denied),
            times(denied.times),
            last_at,
            0,
        )
    })
}

/// The reason as it is stored: its name, and after a space the scope that the key lacked, if it is known.
fn stored_reason(denied: &DeniedClient) -> Cow<'_, str> {
    let name = denied.reason.name();
    if denied.scope.is_empty() { name.into() } else { format!("{name} {}", denied.scope).into() }
}

fn times(times: u64) -> i64 {
    i64::try_from(times).unwrap_or(i64::MAX)
}

fn json(lines: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(lines).map_err(|error| sqlx::Error::Encode(error.into()).into())
}

/// Deletes denials whose last occurrence was at `until` or earlier, and the uses of all days before the day of `until`.
pub(crate) async fn forget(tx: &mut Tx, until: Timestamp) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM api_key_uses WHERE day < $1").bind(until.day()).execute(&mut **tx).await?;
    sqlx::query("DELETE FROM api_key_days WHERE day < $1").bind(until.day()).execute(&mut **tx).await?;
    sqlx::query("DELETE FROM api_key_refusals WHERE last_at <= $1").bind(until.0).execute(&mut **tx).await?;
    Ok(())
}
