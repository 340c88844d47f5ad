//! `GET /api/v1/key`: the key that asks.

use super::credential::authenticate;
use super::problem::ApiProblem;
use crate::console::Console;
use app::domain::timestamp::Timestamp;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;
use std::sync::Arc;

pub(super) fn router() -> Router<Arc<Console>> {
    Router::new().route("/api/v1/key", get(show))
}

/// Moments are RFC 3339.
#[derive(Serialize)]
struct Body {
    id: String,
    name: String,
    description: String,
    account_id: String,
    created_at: String,
    expires_at: Option<String>,
    last_used_at: Option<String>,
}

async fn show(State(console): State<Arc<Console>>, request: Parts) -> Result<impl IntoResponse, ApiProblem> {
    let key = authenticate(&console.keys, &request).await?;
    let written = |at: i64| Timestamp(at).rfc3339();
    let body = Body {
        id: key.id,
        name: key.name,
        description: key.description,
        account_id: key.account_id,
        created_at: written(key.created_at),
        expires_at: key.expires_at.map(written),
        last_used_at: key.last_used_at.map(written),
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)))
}
