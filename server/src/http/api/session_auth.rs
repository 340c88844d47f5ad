//! The session of a browser as the credential of an endpoint, which is closed to keys.

use crate::client::ClientIp;
use crate::http::problem::ApiProblem;
use crate::http::verify::credential::authenticate;
use crate::key_cache::verifier::Requirement;
use crate::services::sessions;
use crate::state::AppState;
use app::backend::SignedIn;
use axum::Json;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Rejects requests with a key: responds with 403 to a valid key, and to an invalid one as all other routes do.
pub(crate) async fn reject_keys(
    State(state): State<Arc<AppState>>,
    request: Request,
    next: Next,
) -> Response {
    let client = ClientIp::of(request.extensions());
    let closed = Requirement { is_closed: true, ..Requirement::default() };
    match authenticate(&state, request.headers(), client, closed).await {
        Err(ApiProblem::Unauthenticated) => next.run(request).await,
        Err(problem) => problem.into_response(),
        Ok(_) => ApiProblem::InsufficientScope.into_response(),
    }
}

/// The owner of the session of a request.
pub(crate) struct Owner(pub(crate) SignedIn);

impl<S: Send + Sync> FromRequestParts<S> for Owner {
    type Rejection = ApiProblem;

    async fn from_request_parts(request: &mut Parts, _: &S) -> Result<Self, ApiProblem> {
        match sessions::signed_in(&request.extensions, &request.headers).await {
            Ok(Some(who)) => Ok(Self(who)),
            Ok(None) => Err(ApiProblem::Unauthenticated),
            Err(_) => Err(ApiProblem::Unavailable),
        }
    }
}

/// A response that no cache keeps.
pub(crate) type NoStore<T> = ([(axum::http::HeaderName, &'static str); 1], Json<T>);

pub(crate) fn no_store<T>(body: T) -> NoStore<T> {
    ([(CACHE_CONTROL, "no-store")], Json(body))
}
