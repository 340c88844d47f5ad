//! Use cases of accounts and of their API keys, between HTTP and the database.

pub mod accounts;
pub mod key_prefixes;
pub mod keys;
pub mod passwords;
pub mod rate_limit;
pub mod retention;
pub mod sessions;
