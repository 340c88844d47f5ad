//! `GET /api/v1/key`: the key that asks.

use crate::client::ClientIp;
use crate::http::problem::{ApiProblem, ProgramRefusals};
use crate::http::verify::credential::authenticate;
use crate::ids::hex;
use crate::state::AppState;
use app::domain::api_key::KeyId;
use app::domain::timestamp::Timestamp;
use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A key. Moments are RFC 3339.
#[derive(Serialize, ToSchema)]
pub(crate) struct Key {
    /// The Key ID.
    #[schema(min_length = 32, max_length = 32, pattern = "^[0-9a-f]{32}$")]
    id: String,
    /// What its owner calls it.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// What its owner noted about it.
    #[schema(max_length = 200)]
    description: String,
    /// Whose it is.
    #[schema(min_length = 32, max_length = 32, pattern = "^[0-9a-f]{32}$")]
    account_id: String,
    /// When it was made.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it expires; null means never.
    #[schema(format = DateTime, required)]
    expires_at: Option<String>,
    /// When it was last used, as far as that is written down, which is once a minute; null means never.
    #[schema(format = DateTime, required)]
    last_used_at: Option<String>,
}

/// The key that asks
///
/// Tells a program about the key that it presents, in any of the four ways of presenting one.
#[utoipa::path(
    get,
    path = "/api/v1/key",
    tag = "Keys",
    responses((status = 200, description = "The key", body = Key), ProgramRefusals),
    security(("bearer" = []))
)]
pub(crate) async fn show(
    State(console): State<Arc<AppState>>,
    request: Parts,
) -> Result<impl IntoResponse, ApiProblem> {
    let unavailable = |error| {
        tracing::error!(%error, "a key could not be read");
        ApiProblem::Unavailable
    };
    let admitted = authenticate(&console, &request.headers, ClientIp::of(&request.extensions), false).await?;
    let id = KeyId::parse(&hex(&admitted.key)).ok_or(ApiProblem::Internal)?;
    let key = console.store.own_key(&id).await.map_err(unavailable)?;
    // Deleted since it was let in.
    let key = key.ok_or(ApiProblem::InvalidToken)?;
    let body = Key {
        id: key.id,
        name: key.name,
        description: key.description,
        account_id: key.account_id,
        created_at: Timestamp(key.created_at).rfc3339(),
        expires_at: key.expires_at.map(|at| Timestamp(at).rfc3339()),
        last_used_at: key.last_used_at.map(|at| Timestamp(at).rfc3339()),
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)))
}
