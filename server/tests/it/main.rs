//! Integration tests: the real router over a fresh database for each test. Files mirror the URLs.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod account_settings;
mod activity;
mod api_access;
mod api_key;
mod backup;
mod cli;
mod coherence;
mod console_account;
mod console_keys;
mod copy;
mod ended_sessions;
mod first_account;
mod form_actions;
mod key_events;
mod key_prefixes;
mod locked_database;
mod malformed_input;
mod mechas;
mod metrics;
mod owner_modules;
mod permissions;
mod races;
mod retention;
mod rotation;
mod runtimes;
mod security;
mod several_nodes;
mod test_app;
mod triggers;
mod try_action;
mod upgrades;
mod usage;
mod verify;
