//! `/healthz`: the process is alive. `/readyz`: it goes on, and its database answers.

use super::problem::ApiProblem;
use crate::console::Console;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use std::sync::Arc;

pub(super) fn router() -> Router<Arc<Console>> {
    Router::new().route("/healthz", get(async || "ok")).route("/readyz", get(ready))
}

async fn ready(State(console): State<Arc<Console>>) -> Result<&'static str, ApiProblem> {
    if console.leaving.is_cancelled() {
        return Err(ApiProblem::Unavailable);
    }
    console.keys.verifier.secrets.store.ping().await.map(|()| "ok").map_err(|error| {
        tracing::error!(%error, "the database does not answer");
        ApiProblem::Unavailable
    })
}
