//! `/verify`, any method: whether a gateway is to let a request through. Never a body, whatever the answer:
//! gateways do not read it, and nginx opens a new connection for each one.

use super::credential::authenticate;
use crate::console::Console;
use crate::store::Presented;
use app::domain::timestamp::Timestamp;
use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, HeaderName};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::sync::Arc;

pub(super) fn router() -> Router<Arc<Console>> {
    Router::new().route("/verify", any(verify))
}

async fn verify(State(console): State<Arc<Console>>, request: Parts) -> Response {
    match authenticate(&console.keys, &request).await {
        Ok(key) => allowed(&key),
        Err(problem) => problem.without_body(),
    }
}

/// 204, and who it is: for the gateway to pass on.
fn allowed(key: &Presented) -> Response {
    let mut response = (StatusCode::NO_CONTENT, [(CACHE_CONTROL, "no-store")]).into_response();
    let mut tell = |name, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    };
    tell("x-key-id", &key.id);
    tell("x-key-name", &utf8_percent_encode(&key.name, NON_ALPHANUMERIC).to_string());
    tell("x-account-id", &key.account_id);
    if let Some(at) = key.expires_at {
        tell("x-key-expires-at", &Timestamp(at).rfc3339());
    }
    response
}
