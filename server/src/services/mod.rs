//! Use cases of accounts, API keys and Mechas: the layer between HTTP and the database.

pub mod accounts;
pub mod key_prefixes;
pub mod keys;
pub mod mechas;
pub mod passwords;
pub mod rate_limit;
pub mod retention;
pub mod sessions;
