//! The real router over a fresh database. Files mirror the URLs.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod api_key;
mod console_account;
mod console_keys;
mod plain_forms;
mod security;
mod test_app;
mod verify;
