//! `/metrics` (OpenMetrics 1.0), on its own listener: it is for the operator, and behind a reverse proxy the server
//! cannot distinguish the operator from other clients.

use crate::http::health;
use crate::http::problem::ApiProblem;
use crate::state::AppState;
use axum::Router;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;

/// The routes of the operator's listener: `/metrics`, `/healthz` and `/readyz`.
pub fn router(state: Arc<AppState>) -> Router {
    Router::new().route("/metrics", get(show)).merge(health::router()).with_state(state)
}

async fn show(State(state): State<Arc<AppState>>) -> Response {
    match state.metrics.text(&state.accounts, &state.verifier, &state.runtimes) {
        Ok(text) => {
            let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, content_type)], text).into_response()
        }
        Err(_) => ApiProblem::Internal.into_response(),
    }
}
