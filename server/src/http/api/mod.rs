//! `/api/v1`: the HTTP API.
//!
//! Each operation is registered with its description (OpenAPI 3.1). Its `security` states who may call the operation. A
//! test visits all operations, and fails if one states nothing.

mod account;
mod endpoints;
mod key;
mod mechas;
mod openapi;
mod reference;
mod runtime;
mod session_auth;
mod sessions;
pub(crate) mod trigger;
mod users_me;

pub use openapi::{KEY_SCHEMES, PAIR_SCHEMES, SESSION_SCHEME, description};
pub use reference::operations;

use self::endpoints::{closed_to_keys, open_to_keys};
use crate::http::problem::ApiProblem;
use crate::state::AppState;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get};
use axum::{Json, Router};
use std::sync::Arc;

/// The routes for keys, and the OpenAPI document.
pub(crate) fn programs() -> Router<Arc<AppState>> {
    let document = get(async || Json(description()));
    let not_found = any(async || ApiProblem::NotFound);
    Router::from(open_to_keys()).route("/api/v1/openapi.json", document).route("/v1/{*path}", not_found)
}

/// The routes for owners. They need the session layer around them.
pub(crate) fn owners(state: Arc<AppState>) -> Router {
    let not_found = any(async || ApiProblem::NotFound);
    Router::from(closed_to_keys())
        .route_layer(from_fn_with_state(Arc::clone(&state), session_auth::reject_keys))
        .route("/api", not_found.clone())
        .route("/api/{*path}", not_found)
        .with_state(state)
}
