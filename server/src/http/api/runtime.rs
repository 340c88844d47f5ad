//! `GET /api/v1/runtime`: connects a runtime over WebSocket (RFC 6455).

use crate::client::ClientIp;
use crate::http::problem::{ApiProblem, KeyProblems};
use crate::http::verify::credential::authenticate;
use crate::key_cache::verifier::Requirement;
use crate::runtimes::frames::SUBPROTOCOL;
use crate::runtimes::session::{self, Accepted};
use crate::state::AppState;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use std::sync::Arc;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::server::create_response_with_body;

/// Connect a runtime
///
/// Opens a WebSocket (RFC 6455) with the subprotocol `mecha.runtime.v1`, for a key of a Mecha. The runtime sends
/// `{"type":"hello","instance":"…"}` within 10 seconds; `docs/runtime.md` describes all frames and close codes.
#[utoipa::path(
    get,
    path = "/api/v1/runtime",
    tag = "Mechas",
    params(("Sec-WebSocket-Protocol" = String, Header, description = "`mecha.runtime.v1`")),
    responses(
        (status = 101, description = "The connection is a WebSocket from now on"),
        (status = 403, description = "The key is valid, but belongs to no Mecha"),
        (status = 426, description = "The request does not upgrade the connection to a WebSocket"),
        KeyProblems
    ),
    extensions(("x-response-example" = json!("{\"type\":\"welcome\",\"runtime\":\"019aa1e2f3a47b5c8d9e0f1a2b3c4d5e\",\n \
        \"mecha\":{\"id\":\"019aa1d0e1f27a3b8c4d5e6f7a8b9c0d\",\"name\":\"Porter\"},\n \
        \"key_id\":\"019aa1c2f3e47b5c8d9e0f1a2b3c4d5e\",\n \
        \"expires_at\":\"2027-02-22T10:32:05Z\",\"ping_interval_ms\":15000}"))),
    security(("bearer" = []))
)]
pub(crate) async fn connect(
    State(state): State<Arc<AppState>>,
    mut request: Request,
) -> Result<Response, ApiProblem> {
    let client = ClientIp::of(request.extensions());
    let key = authenticate(&state, request.headers(), client, Requirement::default()).await?;
    let Some(mecha) = key.mecha.as_ref().map(|mecha| mecha.id) else {
        return Err(ApiProblem::InsufficientScope);
    };
    // A page of another origin must not connect with a key that its user pasted (RFC 6455, section 10.2).
    if request.headers().contains_key(ORIGIN) {
        return Err(ApiProblem::OriginNotAllowed);
    }
    let Some(upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        return Err(ApiProblem::UpgradeRequired);
    };
    let mut response =
        create_response_with_body(&request, Body::empty).map_err(|error| problem_of(&error))?;
    if !offers_subprotocol(request.headers()) {
        return Err(ApiProblem::SubprotocolRequired);
    }
    let runtimes = &state.runtimes;
    let permit =
        runtimes.permit(&mecha).filter(|_| !state.draining.is_cancelled()).ok_or(ApiProblem::Overloaded)?;
    let accepted = Accepted { key, address: client, permit };
    let connection = session::serve(Arc::clone(&runtimes.0), upgrade, accepted);
    runtimes.0.sessions.spawn(connection);
    response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    debug_assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    Ok(response)
}

fn problem_of(error: &Error) -> ApiProblem {
    match error {
        Error::Protocol(ProtocolError::MissingSecWebSocketKey) => ApiProblem::InvalidUpgrade,
        _ => ApiProblem::UpgradeRequired,
    }
}

fn offers_subprotocol(headers: &HeaderMap) -> bool {
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|offered| offered.to_str().ok());
    offered.flat_map(|offered| offered.split(',')).any(|offered| offered.trim() == SUBPROTOCOL)
}
