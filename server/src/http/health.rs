//! `/healthz`: the process is alive. `/readyz`: it is not shutting down, and its database responds; a second line warns of
//! a clock that may be wrong.

use crate::http::problem::ApiProblem;
use crate::state::AppState;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use std::sync::Arc;

pub(crate) fn router() -> Router<Arc<AppState>> {
    Router::new().route("/healthz", get(async || "ok")).route("/readyz", get(ready))
}

async fn ready(State(console): State<Arc<AppState>>) -> Result<String, ApiProblem> {
    if console.draining.is_cancelled() {
        return Err(ApiProblem::Unavailable);
    }
    console.store.ping().await.map_err(|error| {
        tracing::error!(%error, "the database does not answer");
        ApiProblem::Unavailable
    })?;
    // Requests are served all the same: a server without a right clock is better than none.
    let warning =
        console.retention.paused().map(|problem| format!("\nwarning: nothing is deleted for now: {problem}"));
    Ok(format!("ok{}", warning.unwrap_or_default()))
}
