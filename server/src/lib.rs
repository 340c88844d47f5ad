//! The console's server: accounts, API keys, their verification, and the pages.
//!
//! `main.rs` runs a command. `commands/serve.rs` serves [`http::router::build`], which the tests use, too. See
//! `docs/architecture.md`.

#![warn(missing_docs)]

pub mod client;
pub mod clock;
pub mod commands;
pub mod config;
pub mod http;
pub mod ids;
pub mod key_cache;
pub mod key_entry;
pub mod metrics;
pub mod random;
pub mod runtimes;
pub mod secret;
pub mod services;
pub mod state;
pub mod store;
pub mod usage;
