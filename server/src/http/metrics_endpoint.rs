//! `/metrics` (OpenMetrics 1.0), on an address of its own: it is for the operator, and behind a reverse proxy the operator
//! cannot be told from anybody else.

use crate::http::health;
use crate::http::problem::ApiProblem;
use crate::state::AppState;
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;

/// The operator's routes.
pub fn router(console: Arc<AppState>) -> Router {
    Router::new().route("/metrics", get(show)).merge(health::router()).with_state(console)
}

async fn show(State(console): State<Arc<AppState>>) -> Response {
    match console.metrics.text(&console.accounts, &console.verifier) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => ApiProblem::Internal.into_response(),
    }
}
