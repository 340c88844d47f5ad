//! Rejects requests from other origins that would change state.

use crate::state::AppState;
use axum::extract::{Request, State};
use axum::http::header::ORIGIN;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Responds with 403 to a request that may change state, unless a page of the console's own origin sent it.
///
/// Browsers state the source of a request in `Sec-Fetch-Site`. Browsers that do not send that header, or do not send it
/// on an origin without encryption, send `Origin`. A request with neither header does not come from a browser. It is
/// rejected, because these routes are for browsers (OWASP ASVS 5.0, 3.5.1).
pub(crate) async fn require_own_origin(
    State(state): State<Arc<AppState>>,
    request: Request,
    next: Next,
) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let is_own = match parts.headers.get("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => {
            let own = state.origin_of(&parts.extensions, &parts.headers).to_string();
            parts.headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes() == own.as_bytes())
        }
    };
    if is_own {
        next.run(Request::from_parts(parts, body)).await
    } else {
        tracing::warn!(path = parts.uri.path(), "request from another origin rejected");
        (StatusCode::FORBIDDEN, "This request does not come from a page of this console.").into_response()
    }
}
