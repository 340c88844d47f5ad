//! The modules **Accounts**, **Users** and **Authentication**: what an owner may ask about itself, with the
//! session of a browser. They are closed to keys.

use crate::client::ClientIp;
use crate::http::problem::{ApiProblem, OwnerRefusals};
use crate::http::verify::credential::authenticate;
use crate::services::sessions;
use crate::state::AppState;
use app::backend::SignedIn;
use app::domain::timestamp::Timestamp;
use axum::Json;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::sync::Arc;
use tower_sessions::Session;
use utoipa::ToSchema;

/// Answers a key that is valid with 403, and one that is not as anywhere else.
pub(crate) async fn refuse_keys(
    State(console): State<Arc<AppState>>,
    request: Request,
    next: Next,
) -> Response {
    let client = ClientIp::of(request.extensions());
    match authenticate(&console, request.headers(), client, true).await {
        Err(ApiProblem::Unauthenticated) => next.run(request).await,
        Err(problem) => problem.into_response(),
        Ok(_) => ApiProblem::InsufficientScope.into_response(),
    }
}

/// The owner whose session a request belongs to.
pub(crate) struct Owner(SignedIn);

impl<S: Send + Sync> FromRequestParts<S> for Owner {
    type Rejection = ApiProblem;

    async fn from_request_parts(request: &mut Parts, _: &S) -> Result<Self, ApiProblem> {
        match sessions::signed_in(&request.extensions).await {
            Ok(Some(who)) => Ok(Self(who)),
            Ok(None) => Err(ApiProblem::Unauthenticated),
            Err(_) => Err(ApiProblem::Unavailable),
        }
    }
}

type NoStore<T> = ([(axum::http::HeaderName, &'static str); 1], Json<T>);

fn no_store<T>(body: T) -> NoStore<T> {
    ([(CACHE_CONTROL, "no-store")], Json(body))
}

/// An account.
#[derive(Serialize, ToSchema)]
pub(crate) struct Account {
    /// Its id: 32 hex digits.
    id: String,
    /// The address that it signs in with.
    email: String,
}

/// The account of this session
///
/// Closed to keys.
#[utoipa::path(
    get,
    path = "/api/v1/account",
    tag = "Accounts",
    responses((status = 200, description = "The account", body = Account), OwnerRefusals),
    security(("session" = []))
)]
pub(crate) async fn account(Owner(who): Owner) -> NoStore<Account> {
    no_store(Account { id: who.account.0, email: who.email })
}

/// The person of this session
///
/// Closed to keys. An account is one person.
#[utoipa::path(
    get,
    path = "/api/v1/users/me",
    tag = "Users",
    responses((status = 200, description = "The person", body = Account), OwnerRefusals),
    security(("session" = []))
)]
pub(crate) async fn user(owner: Owner) -> NoStore<Account> {
    account(owner).await
}

/// A session of an account. Moments are RFC 3339.
#[derive(Serialize, ToSchema)]
pub(crate) struct SignedInSession {
    /// When it began.
    #[schema(format = DateTime)]
    created_at: String,
    /// When it was last seen, to the minute.
    #[schema(format = DateTime)]
    last_seen_at: String,
    /// Whether it is the session that asks.
    is_current: bool,
}

/// The sessions of this session's account
///
/// Closed to keys. Newest first.
#[utoipa::path(
    get,
    path = "/api/v1/authentication/sessions",
    tag = "Authentication",
    responses((status = 200, description = "The sessions", body = Vec<SignedInSession>), OwnerRefusals),
    security(("session" = []))
)]
pub(crate) async fn sessions(
    Owner(who): Owner,
    session: Session,
    State(console): State<Arc<AppState>>,
) -> Result<NoStore<Vec<SignedInSession>>, ApiProblem> {
    let sessions = console.sessions.of_account(&who.account).await.map_err(|error| {
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
