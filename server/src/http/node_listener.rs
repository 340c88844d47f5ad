//! The listener for other nodes (`--node-listen`): triggers that they forward to the runtimes of this node.

use crate::http::problem::ApiProblem;
use crate::ids::hex;
use crate::key_cache::cluster::identity::secret_hash;
use crate::runtimes::callers::Credential;
use crate::runtimes::forwarding::{self, NODE, decode, encode_event};
use crate::runtimes::frames::ResponseEvent;
use crate::runtimes::triggers::{TriggerError, TriggerResponse};
use crate::state::AppState;
use app::domain::account::AccountId;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures::stream::unfold;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Size limit of a forwarded request: that of a caller's request, and its head.
const BODY_LIMIT: usize = 1024 * 1024 + 16 * 1024;

/// Timeout for a forwarded request to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// The routes of the listener.
pub fn router(state: Arc<AppState>) -> Router {
    Router::new().route(forwarding::PATH, post(trigger)).with_state(state)
}

async fn trigger(State(state): State<Arc<AppState>>, request: Request) -> Result<Response, Response> {
    // Before the body is read: it takes memory.
    if !is_node(&state, request.headers()).await.map_err(IntoResponse::into_response)? {
        return Err(ApiProblem::Unauthenticated.into_response());
    }
    let refuse = |error: &TriggerError| refusal(error).into_response();
    let mut reserved = state.runtimes.reserve(BODY_LIMIT).ok_or_else(|| refuse(&TriggerError::Busy))?;
    let read = timeout(BODY_TIMEOUT, to_bytes(request.into_body(), BODY_LIMIT)).await;
    let body = read.ok().and_then(Result::ok);
    let body = body.ok_or_else(|| StatusCode::BAD_REQUEST.into_response())?;
    reserved.shrink(body.len());
    let forwarded = decode(body).ok_or_else(|| StatusCode::BAD_REQUEST.into_response())?;
    let caller = &forwarded.request.caller;
    if let Credential::Session(session) = &caller.credential
        && !state.sessions.is_hash_live(session, &AccountId(hex(&caller.account))).await
    {
        return Err(StatusCode::GONE.into_response());
    }
    let response = state.runtimes.trigger_here(forwarded, reserved).await;
    Ok(Response::new(events(response.map_err(|error| refuse(&error))?)))
}

/// Whether the request has the secret of a node that holds a lease.
async fn is_node(state: &AppState, headers: &HeaderMap) -> Result<bool, ApiProblem> {
    let value = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let secret = value(AUTHORIZATION.as_str()).and_then(|value| value.strip_prefix("Bearer "));
    let (Some(id), Some(secret)) = (value(NODE), secret) else { return Ok(false) };
    state.store.is_node(id, &secret_hash(secret)).await.map_err(|error| {
        tracing::error!(%error, "a node could not be verified");
        ApiProblem::Unavailable
    })
}

/// The status with which this node refuses a request. No runtime has got it.
fn refusal(error: &TriggerError) -> StatusCode {
    match error {
        TriggerError::NeverOffered | TriggerError::NoRuntime => StatusCode::NOT_FOUND,
        TriggerError::Busy => StatusCode::CONFLICT,
        TriggerError::Interrupted(_) => StatusCode::GONE,
        TriggerError::Lost | TriggerError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The events of a response. The window of the runtime is extended as the other node reads.
fn events(response: TriggerResponse) -> Body {
    Body::from_stream(unfold(Some(response), |response| async {
        let mut response = response?;
        let event = response.next().await;
        let encoded = encode_event(&event);
        let next = if let Ok(ResponseEvent::Chunk(data)) = &event {
            response.extend_window(data.len());
            Some(response)
        } else {
            None
        };
        Some((Ok::<_, Infallible>(encoded), next))
    }))
}
