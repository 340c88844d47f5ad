//! HTTP: routes, middleware and endpoints.

pub mod api;
pub mod console;
pub mod dispatch;
mod health;
pub(crate) mod listeners;
pub mod metrics_endpoint;
pub mod middleware;
mod minimum_rate;
mod page_runtime;
mod problem;
pub mod router;
mod verify;
