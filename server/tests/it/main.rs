//! The real router over a fresh database. Files mirror the URLs.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod account_settings;
mod activity;
mod api_key;
mod backup;
mod coherence;
mod console_account;
mod console_keys;
mod ended_sessions;
mod events;
mod first_account;
mod input;
mod key_prefixes;
mod locked;
mod metrics;
mod moving;
mod nodes;
mod owner_modules;
mod plain_forms;
mod races;
mod retention;
mod rotation;
mod security;
mod test_app;
mod traffic;
mod upgrades;
mod verify;
mod who_may_call;
