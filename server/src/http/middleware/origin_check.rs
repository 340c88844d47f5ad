//! Which requests of a browser come from the console's own pages.

use crate::state::AppState;
use axum::extract::{Request, State};
use axum::http::header::ORIGIN;
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// Lets nothing through that changes state, unless it comes from a page of this very origin.
///
/// Browsers say where a request comes from in `Sec-Fetch-Site`; those that do not, or may not on an
/// origin without encryption, say it in `Origin`. What says neither is no browser, and has no business
/// with these routes (OWASP ASVS 5.0, 3.5.1).
pub(crate) async fn require_own_origin(
    State(console): State<Arc<AppState>>,
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
            let own = console.origin_of(&parts.extensions, &parts.headers).to_string();
            parts.headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes() == own.as_bytes())
        }
    };
    if is_own {
        next.run(Request::from_parts(parts, body)).await
    } else {
        tracing::warn!(path = parts.uri.path(), "request of another origin refused");
        (StatusCode::FORBIDDEN, "This request does not come from a page of this console.").into_response()
    }
}
