//! Timeouts for a browser's request: for its body to arrive, and for the response.
//!
//! The two are separate, so that no client receives 408 while its change is still being applied. A request that arrives
//! in time gets its result, or 503 after the response timeout.

use crate::http::problem::ApiProblem;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::error::Error;
use std::time::Duration;
use tokio::time::timeout;

/// Size limit of a form, in bytes. It fits a percent-encoded name and description, and text that is far too long, so
/// that the form can show the error at the field.
const BODY_LIMIT: usize = 64 * 1024;
/// Timeout for the body to arrive. A client that sends a few bytes at a time cannot hold its connection for longer.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// Timeout for the head of a response. Timeouts for the database are shorter. This one is for defects, and for a
/// database that accepts requests and does not respond.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads the whole body before the request is processed. Responds with 413 if it is too large, and with 408 if it does
/// not arrive in time.
pub(crate) async fn read_body(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    match timeout(BODY_TIMEOUT, to_bytes(body, BODY_LIMIT)).await {
        Ok(Ok(body)) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Ok(Err(error)) if is_too_large(&error) => {
            (StatusCode::PAYLOAD_TOO_LARGE, "The form is too large.").into_response()
        }
        Ok(Err(_)) | Err(_) => (StatusCode::REQUEST_TIMEOUT, "The form did not arrive.").into_response(),
    }
}

/// Responds with 503 if there is no response in time. A transaction that has not begun by then does not begin.
pub(crate) async fn limit_response(request: Request, next: Next) -> Response {
    timeout(RESPONSE_TIMEOUT, next.run(request)).await.unwrap_or_else(|_| {
        tracing::error!("request timed out");
        ApiProblem::Unavailable.into_response()
    })
}

fn is_too_large(error: &axum::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}
