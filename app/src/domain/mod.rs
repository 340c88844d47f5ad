//! The rules for accounts and API keys, shared by browser and server: newtypes that validate on parsing, and pure
//! functions that take the current time as an argument.

pub mod access;
pub mod account;
#[cfg(feature = "ssr")]
pub mod activity;
pub mod api_key;
pub mod description;
pub mod expiry;
pub mod field_error;
mod id;
pub mod key_name;
#[cfg(feature = "ssr")]
pub mod key_policy;
pub mod mecha;
pub mod rotation;
#[cfg(feature = "ssr")]
pub mod runtime;
pub mod timestamp;
pub mod unicode;
#[cfg(feature = "ssr")]
pub mod usage;
