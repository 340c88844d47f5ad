//! Mechas. Each statement itself checks ownership and limits.

use crate::store::api_keys::Change;
use crate::store::{Store, StoreError, Tx, is_postgres};
use app::domain::account::AccountId;
use app::domain::description::Description;
use app::domain::key_name::KeyName;
use app::domain::mecha::{Mecha, MechaId};
use app::domain::timestamp::Timestamp;
use app::domain::unicode::fold;
use sqlx::FromRow;

/// Selects the columns of [`MechaRow`], of the Mechas of the account `$1` at the time `$2`.
macro_rules! select_mechas {
    ($and:literal) => {
        concat!(
            "SELECT m.id, m.name, m.description, m.active, m.created_at,
                    (SELECT COUNT(*) FROM api_keys k WHERE k.mecha_id = m.id
                       AND (k.expires_at IS NULL OR k.expires_at > $2)) AS keys
             FROM mechas m WHERE m.account_id = $1 ",
            $and
        )
    };
}

#[derive(FromRow)]
struct MechaRow {
    id: String,
    name: String,
    description: String,
    active: i64,
    created_at: i64,
    keys: i64,
}

impl MechaRow {
    fn into_mecha(self) -> Option<Mecha> {
        Some(Mecha {
            id: MechaId::parse(&self.id)?,
            name: self.name,
            description: self.description,
            active: self.active != 0,
            created_at: Timestamp(self.created_at),
            keys: u32::try_from(self.keys).unwrap_or_default(),
        })
    }
}

impl Store {
    /// All Mechas of an account, newest first.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn mechas(&self, account: &AccountId, now: Timestamp) -> Result<Vec<Mecha>, StoreError> {
        let rows: Vec<MechaRow> = sqlx::query_as(select_mechas!("ORDER BY m.created_at DESC, m.id DESC"))
            .bind(&account.0)
            .bind(now.0)
            .fetch_all(&self.read)
            .await?;
        Ok(rows.into_iter().filter_map(MechaRow::into_mecha).collect())
    }

    /// The Mecha of the account with this id.
    ///
    /// # Errors
    /// The database does not respond.
    pub async fn mecha(
        &self,
        account: &AccountId,
        mecha: &MechaId,
        now: Timestamp,
    ) -> Result<Option<Mecha>, StoreError> {
        let row: Option<MechaRow> = sqlx::query_as(select_mechas!("AND m.id = $3"))
            .bind(&account.0)
            .bind(now.0)
            .bind(mecha.as_str())
            .fetch_optional(&self.read)
            .await?;
        Ok(row.and_then(MechaRow::into_mecha))
    }
}

/// Inserts a Mecha, if the account has fewer than `limit` and none with the same name.
pub(crate) async fn insert(
    tx: &mut Tx,
    account: &AccountId,
    new: (&MechaId, &KeyName, &Description),
    limit: u32,
    now: Timestamp,
) -> Result<Change, StoreError> {
    let (id, name, description) = new;
    let inserted = sqlx::query(
        "INSERT INTO mechas (id, account_id, name, name_folded, description, created_at)
         SELECT $1, $2, $3, $4, $5, $6 WHERE (SELECT COUNT(*) FROM mechas WHERE account_id = $2) < $7
         ON CONFLICT (account_id, name_folded) DO NOTHING",
    )
    .bind(id.as_str())
    .bind(&account.0)
    .bind(name.as_str())
    .bind(fold(name.as_str()))
    .bind(description.as_str())
    .bind(now.0)
    .bind(i64::from(limit))
    .execute(&mut **tx)
    .await?;
    if inserted.rows_affected() == 1 {
        return Ok(Change::Done);
    }
    let taken = sqlx::query("SELECT 1 FROM mechas WHERE account_id = $1 AND name_folded = $2")
        .bind(&account.0)
        .bind(fold(name.as_str()))
        .fetch_optional(&mut **tx)
        .await?;
    Ok(if taken.is_some() { Change::Taken } else { Change::LimitReached })
}

/// Changes the name and the description of a Mecha.
pub(crate) async fn describe(
    tx: &mut Tx,
    account: &AccountId,
    mecha: &MechaId,
    name: &KeyName,
    description: &Description,
) -> Result<Change, StoreError> {
    let changed = sqlx::query(
        "UPDATE mechas SET name = $3, name_folded = $4, description = $5
         WHERE id = $1 AND account_id = $2
           AND NOT EXISTS (SELECT 1 FROM mechas WHERE account_id = $2 AND name_folded = $4 AND id <> $1)",
    )
    .bind(mecha.as_str())
    .bind(&account.0)
    .bind(name.as_str())
    .bind(fold(name.as_str()))
    .bind(description.as_str())
    .execute(&mut **tx)
    .await?;
    if changed.rows_affected() == 1 {
        return Ok(Change::Done);
    }
    Ok(if self::name(tx, account, mecha).await?.is_some() { Change::Taken } else { Change::NotFound })
}

/// Activates or deactivates a Mecha.
pub(crate) async fn set_active(
    tx: &mut Tx,
    account: &AccountId,
    mecha: &MechaId,
    active: bool,
) -> Result<Change, StoreError> {
    let switched = sqlx::query("UPDATE mechas SET active = $3 WHERE id = $1 AND account_id = $2")
        .bind(mecha.as_str())
        .bind(&account.0)
        .bind(i64::from(active))
        .execute(&mut **tx)
        .await?;
    Ok(if switched.rows_affected() == 1 { Change::Done } else { Change::NotFound })
}

/// Deletes a Mecha and its keys, if `is_named` accepts its name.
pub(crate) async fn delete(
    tx: &mut Tx,
    account: &AccountId,
    mecha: &MechaId,
    is_named: impl Fn(&str) -> bool + Send,
) -> Result<Change, StoreError> {
    let Some(name) = name(tx, account, mecha).await? else { return Ok(Change::NotFound) };
    if !is_named(&name) {
        return Ok(Change::DoesNotMatch);
    }
    // Locks the keys in the order of `usage::add`: the deletion of the Mecha deletes them in any order.
    if is_postgres(tx) {
        sqlx::query("SELECT 1 FROM api_keys WHERE mecha_id = $1 ORDER BY id FOR UPDATE")
            .bind(mecha.as_str())
            .execute(&mut **tx)
            .await?;
    }
    let deleted = sqlx::query("DELETE FROM mechas WHERE id = $1 AND account_id = $2 AND name = $3")
        .bind(mecha.as_str())
        .bind(&account.0)
        .bind(&name)
        .execute(&mut **tx)
        .await?;
    Ok(if deleted.rows_affected() == 1 { Change::Done } else { Change::NotFound })
}

/// The name of a Mecha of the account.
pub(crate) async fn name(
    tx: &mut Tx,
    account: &AccountId,
    mecha: &MechaId,
) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar("SELECT name FROM mechas WHERE id = $1 AND account_id = $2")
        .bind(mecha.as_str())
        .bind(&account.0)
        .fetch_optional(&mut **tx)
        .await?)
}
