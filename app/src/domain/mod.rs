//! The rules of accounts and API keys, the same for browser and server: newtypes that parse, and
//! functions without side effects that take the present moment as an argument.

pub mod account;
#[cfg(feature = "ssr")]
pub mod activity;
pub mod api_key;
pub mod description;
pub mod expiry;
pub mod key_name;
pub mod rotation;
pub mod timestamp;
pub mod unicode;
#[cfg(feature = "ssr")]
pub mod usage;
