//! `GET /api/v1/mecha`, `/api/v1/mechas` and `/api/v1/mechas/{id or name}`: Mechas with their states.

use crate::client::ClientIp;
use crate::http::problem::{ApiProblem, KeyProblems};
use crate::http::verify::credential::authenticate;
use crate::ids::hex;
use crate::key_cache::verifier::{AllowedKey, Requirement};
use crate::state::AppState;
use app::backend::MechaBackend;
use app::domain::account::AccountId;
use app::domain::mecha::{Mecha, MechaId};
use app::domain::runtime::MechaState;
use app::domain::unicode::fold;
use app::error::ConsoleError;
use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// A Mecha and its state. Times are in RFC 3339.
#[derive(Serialize, ToSchema)]
pub(crate) struct MechaBody {
    /// Its id.
    #[schema(min_length = 32, max_length = 32, pattern = "^[0-9a-f]{32}$")]
    id: String,
    /// Its name.
    #[schema(min_length = 1, max_length = 64)]
    name: String,
    /// The owner's description of the Mecha; may be empty.
    #[schema(max_length = 200)]
    description: String,
    /// Whether the Mecha is switched on.
    active: bool,
    /// When the Mecha was created.
    #[schema(format = DateTime)]
    created_at: String,
    /// The number of its keys that have not expired.
    keys: u32,
    /// `no-key`, `waiting` (never connected), `connected`, `late` (no frame for 30 s), `draining`, or `offline`.
    state: &'static str,
    /// The number of connected runtimes.
    runtimes: usize,
    /// When the last connection ended; absent unless the state is `offline`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    offline_since: Option<String>,
    /// Why the last connection ended; absent unless the state is `offline`.
    #[serde(skip_serializing_if = "Option::is_none")]
    offline_because: Option<&'static str>,
}

impl MechaBody {
    fn of((mecha, state): (Mecha, MechaState)) -> Self {
        let (offline_since, offline_because) = match state {
            MechaState::Offline(at, reason) => (Some(at.rfc3339()), Some(reason.name())),
            _ => (None, None),
        };
        Self {
            id: mecha.id.as_str().to_owned(),
            name: mecha.name,
            description: mecha.description,
            active: mecha.active,
            created_at: mecha.created_at.rfc3339(),
            keys: mecha.keys,
            state: state.name(),
            runtimes: state.runtimes(),
            offline_since,
            offline_because,
        }
    }
}

/// All Mechas of an account.
#[derive(Serialize, ToSchema)]
pub(crate) struct MechaListBody {
    /// The Mechas, newest first.
    mechas: Vec<MechaBody>,
}

/// Get the Mecha of the request
///
/// Returns the Mecha whose key the request presents, with its state.
#[utoipa::path(
    get,
    path = "/api/v1/mecha",
    tag = "Mechas",
    responses((status = 200, description = "The Mecha", body = MechaBody, example = json!(example())), (status = 403, description = "The key belongs to no Mecha"), KeyProblems),
    security(("bearer" = []))
)]
pub(crate) async fn own(
    State(state): State<Arc<AppState>>,
    request: Parts,
) -> Result<impl IntoResponse, ApiProblem> {
    let key = key_of(&state, &request).await?;
    let mecha = key.mecha.as_ref().ok_or(ApiProblem::InsufficientScope)?;
    let id = MechaId::parse(&hex(&mecha.id)).ok_or(ApiProblem::Internal)?;
    let account = AccountId(hex(&key.account));
    let mecha = state.mechas.find(&account, &id).await.map_err(unavailable)?;
    // The Mecha was deleted after its key was verified.
    let mecha = mecha.ok_or(ApiProblem::InvalidToken)?;
    let runtimes = state.mechas.runtimes(&account, &id).await.map_err(unavailable)?;
    let mecha_state = MechaState::of(&mecha, &runtimes);
    Ok(response(MechaBody::of((mecha, mecha_state))))
}

/// List the Mechas of the account
///
/// Returns the Mechas of the account that owns the key, newest first, each with its state.
#[utoipa::path(
    get,
    path = "/api/v1/mechas",
    tag = "Mechas",
    responses((status = 200, description = "The Mechas", body = MechaListBody, example = json!({"mechas": [example()]})), (status = 403, description = "The key belongs to a Mecha"), KeyProblems),
    security(("bearer" = []))
)]
pub(crate) async fn list(
    State(state): State<Arc<AppState>>,
    request: Parts,
) -> Result<impl IntoResponse, ApiProblem> {
    let key = key_of_account(&state, &request).await?;
    Ok(response(MechaListBody { mechas: all(&state, &key).await? }))
}

/// Get a Mecha of the account
///
/// Returns a Mecha of the account that owns the key, by its id or its name, with its state.
#[utoipa::path(
    get,
    path = "/api/v1/mechas/{mecha}",
    tag = "Mechas",
    params(("mecha" = String, Path, description = "The id or the name of the Mecha")),
    responses((status = 200, description = "The Mecha", body = MechaBody, example = json!(example())), (status = 403, description = "The key belongs to a Mecha"),
    (status = 404, description = "The account has no such Mecha"), KeyProblems),
    security(("bearer" = []))
)]
pub(crate) async fn show(
    State(state): State<Arc<AppState>>,
    wanted: Result<Path<String>, PathRejection>,
    request: Parts,
) -> Result<impl IntoResponse, ApiProblem> {
    let key = key_of_account(&state, &request).await?;
    // A path that is not UTF-8 names no Mecha.
    let Path(wanted) = wanted.map_err(|_| ApiProblem::NotFound)?;
    let (id, name) = (MechaId::parse(&wanted), fold(&wanted));
    let is_wanted =
        |body: &MechaBody| id.as_ref().is_some_and(|id| body.id == id.as_str()) || fold(&body.name) == name;
    let body = all(&state, &key).await?.into_iter().find(is_wanted);
    Ok(response(body.ok_or(ApiProblem::NotFound)?))
}

/// The example of the OpenAPI document. It has all members.
fn example() -> MechaBody {
    MechaBody {
        id: "019aa1d0e1f27a3b8c4d5e6f7a8b9c0d".to_owned(),
        name: "Porter".to_owned(),
        description: "Carries orders".to_owned(),
        active: true,
        created_at: "2026-11-24T10:32:05Z".to_owned(),
        keys: 1,
        state: "offline",
        runtimes: 0,
        offline_since: Some("2026-11-24T11:02:40Z".to_owned()),
        offline_because: Some("stopped"),
    }
}

fn unavailable(_: ConsoleError) -> ApiProblem {
    ApiProblem::Unavailable
}

async fn key_of(state: &AppState, request: &Parts) -> Result<AllowedKey, ApiProblem> {
    authenticate(state, &request.headers, ClientIp::of(&request.extensions), Requirement::default()).await
}

/// The key of a request, if the account itself owns it.
async fn key_of_account(state: &AppState, request: &Parts) -> Result<AllowedKey, ApiProblem> {
    let key = key_of(state, request).await?;
    if key.mecha.is_some() { Err(ApiProblem::InsufficientScope) } else { Ok(key) }
}

/// The Mechas of the account that owns a key.
async fn all(state: &AppState, key: &AllowedKey) -> Result<Vec<MechaBody>, ApiProblem> {
    let account = AccountId(hex(&key.account));
    let list = state.mechas.list(&account).await.map_err(unavailable)?;
    Ok(list.mechas.into_iter().map(MechaBody::of).collect())
}

fn response(body: impl Serialize) -> impl IntoResponse {
    ([(CACHE_CONTROL, "no-store")], Json(body))
}
