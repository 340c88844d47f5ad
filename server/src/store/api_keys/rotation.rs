//! Replaces the secret of a key.

use crate::secret::SecretDigest;
use crate::store::api_keys::{Change, KeyRow, find};
use crate::store::{StoreError, Tx};
use app::domain::account::AccountId;
use app::domain::api_key::KeyId;
use app::domain::rotation::Grace;
use app::domain::timestamp::Timestamp;

/// The new secret of a key.
#[derive(Debug)]
pub struct NewSecretRow {
    /// Its digest.
    pub digest: SecretDigest,
    /// Its last four characters, which identify it to the owner.
    pub last_four: String,
    /// Its prefix.
    pub prefix: String,
    /// How long the previous secret stays valid.
    pub grace: Grace,
}

/// Replaces the secret of a key that has not expired. Returns [`Change::Rotating`] if the previous secret of an earlier
/// rotation is still valid.
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
                prefix = $9, rotated_at = $7
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

/// Retires the previous secret of a key at once.
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
    // There is no previous secret, or it is already retired: the key is in the requested state.
    Ok(if find(tx, account, key).await?.is_some() { Change::Done } else { Change::NotFound })
}

/// Retires the previous secret of a key on the first use of the secret with the digest `new`, if its grace period was
/// to last until then. Returns whether a secret was retired; on later uses there is none.
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
