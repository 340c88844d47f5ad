//! Use cases of accounts and API keys: the layer between HTTP and the database.

pub mod accounts;
pub mod key_prefixes;
pub mod keys;
pub mod passwords;
pub mod rate_limit;
pub mod retention;
pub mod sessions;
