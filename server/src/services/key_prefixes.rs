//! Checks at start-up that the configured prefixes cover all existing keys.

use crate::secret::Prefixes;
use crate::store::{Store, StoreError, key_prefixes, spawn_transaction};

/// Why the server does not start with the configured prefixes.
#[derive(Debug, thiserror::Error)]
pub enum PrefixError {
    /// Existing keys have a prefix that is not configured.
    #[error(
        "existing keys ({keys}) begin with {prefix:?}, which is neither --key-prefix nor in --previous-key-prefixes; \
         they would be denied. Start with --previous-key-prefixes {prefix}"
    )]
    Unlisted {
        /// The prefix that is not configured.
        prefix: String,
        /// Number of keys with this prefix.
        keys: i64,
    },
    /// The database does not respond.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Records the prefix of new secrets, and removes recorded prefixes that no unexpired key has.
///
/// # Errors
/// [`PrefixError::Unlisted`] if an unexpired key has a prefix that is not configured, or the database does not respond.
pub async fn check(store: &Store, prefixes: &Prefixes) -> Result<(), PrefixError> {
    let known = store.key_prefixes().await?;
    let mut unused = Vec::new();
    for prefix in known.iter().filter(|prefix| !prefixes.has(prefix)) {
        match store.keys_with_prefix(prefix).await? {
            0 => unused.push(prefix.clone()),
            keys => return Err(PrefixError::Unlisted { prefix: prefix.clone(), keys }),
        }
    }
    let current = prefixes.current.to_string();
    if unused.is_empty() && known.contains(&current) {
        return Ok(());
    }
    let (store, is_first) = (store.clone(), known.is_empty());
    spawn_transaction(async move {
        let mut tx = store.begin().await?;
        for prefix in unused {
            key_prefixes::forget(&mut tx, &prefix).await?;
        }
        key_prefixes::record(&mut tx, &current, is_first).await?;
        Ok::<_, StoreError>(tx.commit().await?)
    })
    .await?;
    Ok(())
}
