//! `/api/v1/authentication/sessions`.

use super::session_auth::{NoStore, Owner, no_store};
use crate::http::problem::{ApiProblem, OwnerProblems};
use crate::services::sessions;
use crate::state::AppState;
use app::domain::timestamp::Timestamp;
use axum::extract::State;
use serde::Serialize;
use std::sync::Arc;
use tower_sessions::Session;
use utoipa::ToSchema;

/// A session of an account. Times are in RFC 3339.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignedInSession {
    /// When the session began.
    #[schema(format = DateTime)]
    created_at: String,
    /// When the session was last used, to the minute.
    #[schema(format = DateTime)]
    last_seen_at: String,
    /// Whether it is the session of this request.
    is_current: bool,
}

/// List the sessions
///
/// Closed to keys. Newest first.
#[utoipa::path(
    get,
    path = "/api/v1/authentication/sessions",
    tag = "Authentication",
    responses((status = 200, description = "The sessions", body = Vec<SignedInSession>, example = json!([{
        "created_at": "2026-11-24T08:15:00Z",
        "last_seen_at": "2026-11-24T11:02:00Z",
        "is_current": true
    }])), OwnerProblems),
    security(("session" = []))
)]
pub(crate) async fn sessions(
    Owner(who): Owner,
    session: Session,
    State(state): State<Arc<AppState>>,
) -> Result<NoStore<Vec<SignedInSession>>, ApiProblem> {
    let sessions = state.sessions.of_account(&who.account).await.map_err(|error| {
        tracing::error!(%error, "the sessions could not be read");
        ApiProblem::Unavailable
    })?;
    let current = session.id().map(|id| sessions::hash(&id));
    let list = sessions.into_iter().map(|row| SignedInSession {
        created_at: Timestamp(row.created_at).rfc3339(),
        last_seen_at: Timestamp(row.last_seen_at).rfc3339(),
        is_current: Some(row.id_hash) == current,
    });
    Ok(no_store(list.collect()))
}
