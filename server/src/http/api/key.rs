//! `GET /api/v1/key`: the key of the request.

use crate::client::ClientIp;
use crate::http::problem::{ApiProblem, KeyProblems};
use crate::http::verify::credential::authenticate;
use crate::ids::hex;
use crate::key_cache::verifier::Requirement;
use crate::state::AppState;
use app::domain::access::Access;
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

/// A key. Times are in RFC 3339.
#[derive(Serialize, ToSchema)]
pub(crate) struct Key {
    /// The Key ID.
    #[schema(min_length = 32, max_length = 32, pattern = "^[0-9a-f]{32}$")]
    id: String,
    /// The name of the key.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// The owner's description of the key; may be empty.
    #[schema(max_length = 200)]
    description: String,
    /// The account that owns the key.
    #[schema(min_length = 32, max_length = 32, pattern = "^[0-9a-f]{32}$")]
    account_id: String,
    /// The Mecha that owns the key; absent if the account itself does.
    #[serde(skip_serializing_if = "Option::is_none")]
    mecha: Option<KeyMecha>,
    /// The scopes that the key is restricted to; null means access to everything.
    #[schema(required)]
    scopes: Option<Vec<String>>,
    /// When the key was created.
    #[schema(format = DateTime)]
    created_at: String,
    /// When the key expires; null means never.
    #[schema(format = DateTime, required)]
    expires_at: Option<String>,
    /// When the key was last used; null means never. Recorded once a minute.
    #[schema(format = DateTime, required)]
    last_used_at: Option<String>,
}

/// A Mecha.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyMecha {
    /// Its id.
    #[schema(min_length = 32, max_length = 32, pattern = "^[0-9a-f]{32}$")]
    id: String,
    /// Its name.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
}

/// Get the key of the request
///
/// Returns the key that the request presents, in any of the four ways to present one.
#[utoipa::path(
    get,
    path = "/api/v1/key",
    tag = "Keys",
    responses((status = 200, description = "The key", body = Key, example = json!({
        "id": "019aa1c2f3e47b5c8d9e0f1a2b3c4d5e",
        "name": "CI/CD Pipeline",
        "description": "Deploys to staging",
        "account_id": "019aa1b0c4d57e6f8a9b0c1d2e3f4a5b",
        "scopes": ["chat:read", "chat:write"],
        "mecha": {"id": "019aa1d0e1f27a3b8c4d5e6f7a8b9c0d", "name": "Porter"},
        "created_at": "2026-11-24T10:32:05Z",
        "expires_at": "2027-02-22T10:32:05Z",
        "last_used_at": "2026-11-24T11:02:40Z"
    })), KeyProblems),
    security(("bearer" = []))
)]
pub(crate) async fn show(
    State(state): State<Arc<AppState>>,
    request: Parts,
) -> Result<impl IntoResponse, ApiProblem> {
    let unavailable = |error| {
        tracing::error!(%error, "a key could not be read");
        ApiProblem::Unavailable
    };
    let allowed =
        authenticate(&state, &request.headers, ClientIp::of(&request.extensions), Requirement::default())
            .await?;
    let id = KeyId::parse(&hex(&allowed.key)).ok_or(ApiProblem::Internal)?;
    let key = state.store.key_by_id(&id).await.map_err(unavailable)?;
    // The key was deleted after it was verified.
    let key = key.ok_or(ApiProblem::InvalidToken)?;
    let body = Key {
        id: key.id,
        name: key.name,
        description: key.description,
        account_id: key.account_id,
        mecha: key.mecha_id.zip(key.mecha_name).map(|(id, name)| KeyMecha { id, name }),
        scopes: Access::from_text(key.scopes.as_deref())
            .scopes()
            .map(|scopes| scopes.iter().map(|scope| scope.as_str().to_owned()).collect()),
        created_at: Timestamp(key.created_at).rfc3339(),
        expires_at: key.expires_at.map(|at| Timestamp(at).rfc3339()),
        last_used_at: key.last_used_at.map(|at| Timestamp(at).rfc3339()),
    };
    Ok(([(CACHE_CONTROL, "no-store")], Json(body)))
}
