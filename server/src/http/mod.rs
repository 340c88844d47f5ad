//! HTTP: routes, middleware and endpoints.

pub mod api;
pub mod console;
mod health;
pub mod listeners;
pub mod metrics_endpoint;
pub mod middleware;
mod minimum_rate;
pub mod node_listener;
mod problem;
pub mod router;
pub mod verify;
