//! Verification of keys, for gateways and for `/api/v1`.

pub(crate) mod credential;
pub(crate) mod endpoint;
pub(crate) mod gateway_listeners;
pub mod service;
