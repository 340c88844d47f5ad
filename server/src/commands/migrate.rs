//! `migrate`: brings the database schema up to date.

use crate::config::DatabaseOptions;
use crate::store::{Store, StoreError};

/// Runs the command.
///
/// # Errors
/// The database cannot be opened, or a migration fails.
pub async fn run(database: &DatabaseOptions) -> Result<(), StoreError> {
    Store::open(&database.database_url).await?.close().await;
    tracing::info!("the database schema is up to date");
    Ok(())
}
