//! The form of the request target (RFC 9112, 3.2).

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

/// Responds with 400 to a target without a path. The authority form is for CONNECT alone (RFC 9112, 3.2.3), and the
/// pages need a path.
pub(crate) async fn require_path(request: Request, next: Next) -> Response {
    if request.uri().path_and_query().is_none() {
        return StatusCode::BAD_REQUEST.into_response();
    }
    next.run(request).await
}
