//! `/healthz`: the process is alive. `/readyz`: the node is not shutting down, and its database responds. A second line
//! of the `/readyz` response warns of a clock that may be wrong.

use crate::http::problem::ApiProblem;
use crate::state::AppState;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use std::sync::Arc;

pub(crate) fn router() -> Router<Arc<AppState>> {
    Router::new().route("/healthz", get(async || "ok")).route("/readyz", get(ready))
}

async fn ready(State(state): State<Arc<AppState>>) -> Result<String, ApiProblem> {
    if state.draining.is_cancelled() {
        return Err(ApiProblem::Unavailable);
    }
    state.store.ping().await.map_err(|error| {
        tracing::error!(%error, "the database does not respond");
        ApiProblem::Unavailable
    })?;
    // A wrong clock is a warning only: a node that serves requests with a wrong clock is better than none.
    let warning =
        state.retention.paused().map(|problem| format!("\nwarning: nothing is deleted for now: {problem}"));
    Ok(format!("ok{}", warning.unwrap_or_default()))
}
