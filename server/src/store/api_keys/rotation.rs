//! One secret in the place of another.

use crate::secret::SecretDigest;
use crate::store::api_keys::{Change, KeyRow, find};
use crate::store::{StoreError, Tx};
use app::domain::account::AccountId;
use app::domain::api_key::KeyId;
use app::domain::rotation::Grace;
use app::domain::timestamp::Timestamp;

/// The secret that takes the place of another.
#[derive(Debug)]
pub struct NewSecretRow {
    /// Its digest.
    pub digest: SecretDigest,
    /// Its last four characters.
    pub last_four: String,
    /// What it begins with.
    pub prefix: String,
    /// How long the old one works too.
    pub grace: Grace,
}

/// Gives a key that has not expired another secret, unless its last rotation has not ended yet.
pub(crate) async fn rotate(
    tx: &mut Tx,
    account: &AccountId,
    key: &KeyId,
    new: &NewSecretRow,
    now: Timestamp,
) -> Result<Change, StoreError> {
    let rotated = sqlx::query(
        "UPDATE api_keys SET old_digest = secret_digest, old_last_four = last_four, old_until = $5,
                old_ends_on_use = $6, old_ended = $8, old_prefix = prefix, secret_digest = $3, last_four = $4,
                prefix = $9
         WHERE id = $1 AND account_id = $2 AND (expires_at IS NULL OR expires_at > $7)
           AND (old_until IS NULL OR old_until <= $7 OR old_ended = 1)",
    )
    .bind(key.as_str())
    .bind(&account.0)
    .bind(new.digest.as_bytes().as_slice())
    .bind(&new.last_four)
    .bind(new.grace.ends_at(now).0)
    .bind(i64::from(new.grace == Grace::FirstUse))
    .bind(now.0)
    .bind(i64::from(new.grace.ends_at(now) <= now))
    .bind(&new.prefix)
    .execute(&mut **tx)
    .await?;
    if rotated.rows_affected() == 1 {
        return Ok(Change::Done);
    }
    Ok(match find(tx, account, key).await? {
        None => Change::NotFound,
        Some(KeyRow { expires_at: Some(at), .. }) if at <= now.0 => Change::Expired,
        Some(_) => Change::Rotating,
    })
}

/// Ends the grace of an old secret at once.
pub(crate) async fn retire(
    tx: &mut Tx,
    account: &AccountId,
    key: &KeyId,
    now: Timestamp,
) -> Result<Change, StoreError> {
    let retired = sqlx::query(
        "UPDATE api_keys SET old_until = CASE WHEN old_until > $3 THEN $3 ELSE old_until END, old_ends_on_use = 0,
                old_ended = 1
         WHERE id = $1 AND account_id = $2 AND old_until IS NOT NULL AND old_ended = 0",
    )
    .bind(key.as_str())
    .bind(&account.0)
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    if retired.rows_affected() == 1 {
        return Ok(Change::Done);
    }
    // It was ended meanwhile: what was asked for is so.
    Ok(if find(tx, account, key).await?.is_some() { Change::Done } else { Change::NotFound })
}

/// Ends the grace of an old secret that was to last until the new one, with this digest, is used. The new one's next
/// use has nothing to end any more. Whether there was one.
pub(crate) async fn retire_on_use(
    tx: &mut Tx,
    key: &KeyId,
    new: &SecretDigest,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let retired = sqlx::query(
        "UPDATE api_keys SET old_until = CASE WHEN old_until > $3 THEN $3 ELSE old_until END, old_ends_on_use = 0,
                old_ended = 1
         WHERE id = $1 AND secret_digest = $2 AND old_ends_on_use = 1",
    )
    .bind(key.as_str())
    .bind(new.as_bytes().as_slice())
    .bind(now.0)
    .execute(&mut **tx)
    .await?;
    Ok(retired.rows_affected() == 1)
}
