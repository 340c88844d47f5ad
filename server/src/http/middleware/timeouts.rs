//! How long a browser's request may take: to arrive, and to be answered.
//!
//! The two have limits of their own, so that no client is told that its request timed out while the change that it asked
//! for is still made. What arrives in time gets its result, or 503 once the server has given up.

use crate::http::problem::ApiProblem;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::error::Error;
use std::time::Duration;
use tokio::time::timeout;

/// The largest form that is read, in bytes: a name and a description, percent-encoded, with room for a text that is far
/// too long, so that the error is shown at its field.
const BODY_LIMIT: usize = 64 * 1024;
/// How long a body may take to arrive: a client that sends a byte now and then keeps no connection for longer.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the head of a response may take. Waits for the database are shorter: this is for defects, and for a database
/// that accepts requests and does not answer them.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// Reads the whole body before anything is done with it: 413 if it is too large, 408 if it does not arrive in time.
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

/// 503 if there is no response in time. A transaction that has not begun by then does not begin.
pub(crate) async fn limit_response(request: Request, next: Next) -> Response {
    timeout(RESPONSE_TIMEOUT, next.run(request)).await.unwrap_or_else(|_| {
        tracing::error!("a request had no response in time");
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
