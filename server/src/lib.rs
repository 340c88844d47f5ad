//! The console's server: accounts, API keys, their validation, and the pages.
//!
//! `main.rs` opens the database and serves [`http::build`]; the tests drive that very function.

#![warn(missing_docs)]

pub mod accounts;
pub mod backup;
pub mod clock;
pub mod config;
pub mod console;
pub mod http;
pub mod key_prefixes;
pub mod keys;
pub mod metrics;
pub mod moving;
pub mod passwords;
pub mod retention;
pub mod secret;
pub mod sessions;
pub mod store;
pub mod throttle;
pub mod verification;

pub use http::build;
