//! The prefixes of secrets. They are stored, because the digest of a secret does not reveal its prefix.

use crate::store::{Store, StoreError, Tx};

impl Store {
    /// All recorded prefixes of secrets in this database.
    ///
    /// # Errors
    /// The database does not respond.
    pub(crate) async fn key_prefixes(&self) -> Result<Vec<String>, StoreError> {
        Ok(sqlx::query_scalar("SELECT prefix FROM key_prefixes ORDER BY prefix")
            .fetch_all(&self.read)
            .await?)
    }

    /// The number of keys with this prefix that have not expired, whether active or not. The prefix of a previous
    /// secret counts until that secret is retired.
    ///
    /// # Errors
    /// The database does not respond.
    pub(crate) async fn keys_with_prefix(&self, prefix: &str) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar(
            "SELECT count(*) FROM api_keys
             WHERE prefix = $1 OR (old_prefix = $1 AND old_ended = 0)",
        )
        .bind(prefix)
        .fetch_one(&self.read)
        .await?)
    }
}

/// Records the prefix of new secrets. If `is_first` is true, the database has no recorded prefix yet: secrets from
/// versions that did not record prefixes are assigned this one.
pub(crate) async fn record(tx: &mut Tx, prefix: &str, is_first: bool) -> Result<(), StoreError> {
    if is_first {
        sqlx::query("UPDATE api_keys SET prefix = $1 WHERE prefix = ''")
            .bind(prefix)
            .execute(&mut **tx)
            .await?;
        sqlx::query("UPDATE api_keys SET old_prefix = $1 WHERE old_prefix = '' AND old_digest IS NOT NULL")
            .bind(prefix)
            .execute(&mut **tx)
            .await?;
    }
    sqlx::query("INSERT INTO key_prefixes (prefix) VALUES ($1) ON CONFLICT (prefix) DO NOTHING")
        .bind(prefix)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Deletes a prefix. The caller ensures that no valid key has it.
pub(crate) async fn forget(tx: &mut Tx, prefix: &str) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM key_prefixes WHERE prefix = $1").bind(prefix).execute(&mut **tx).await?;
    Ok(())
}
