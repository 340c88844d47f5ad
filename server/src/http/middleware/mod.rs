//! The layers around the routes, one concern per file. [`super::router`] sets their order.

pub mod client_ip;
pub(crate) mod compression;
pub(crate) mod host_check;
pub(crate) mod origin_check;
pub(crate) mod request_metrics;
pub(crate) mod request_target;
pub(crate) mod security_headers;
pub(crate) mod session_cookie;
pub(crate) mod timeouts;
