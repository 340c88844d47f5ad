//! `POST /v1/trigger/{action}`: sends a request to a connected runtime, and returns its response.

use crate::client::ClientIp;
use crate::http::problem::{ApiProblem, KeyProblems};
use crate::http::verify::credential::authenticate;
use crate::key_cache::verifier::Requirement;
use crate::runtimes::callers::Caller;
use crate::runtimes::frames::{ResponseEvent, is_action};
use crate::runtimes::requests::NewRequest;
use crate::runtimes::triggers::{Interruption, TriggerError, TriggerResponse};
use crate::state::AppState;
use app::domain::access::TRIGGER;
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use futures::stream::unfold;
use http_body_util::{BodyExt, Limited};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Size limit of the body of a request, and of a response that is not streamed, in bytes.
const BODY_LIMIT: usize = 1024 * 1024;
/// Timeout for the body of a request to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);
/// Length limit of the media type of a request, in bytes.
const MEDIA_TYPE_LIMIT: usize = 200;
/// The media types that a response may have. A browser runs none of them.
const MEDIA_TYPES: [&str; 3] = ["application/json", "text/plain", "application/octet-stream"];
const EVENT_STREAM: &str = "text/event-stream";

/// Call a Mecha
///
/// Sends the request to a connected runtime of the account that offers the action, and returns its response. With
/// `Accept: text/event-stream`, each chunk of the response is an event as it comes; `event: end` closes the stream. The key
/// needs the scope `trigger`. `docs/triggers.md` describes limits and failures.
#[utoipa::path(
    post,
    path = "/v1/trigger/{action}",
    tag = "Mechas",
    params(
        ("action" = String, Path, description = "The action: 1 to 64 of the characters A-Z a-z 0-9 . _ -"),
        ("mecha" = Option<String>, Query, description = "The Mecha that is to respond: its id or its name"),
    ),
    request_body(content = String, content_type = "application/json"),
    responses(
        (status = 200, description = "The response of the runtime; it may also set 201, 202, 204, and 400 to 599"),
        (status = 403, description = "The key lacks the scope trigger, or belongs to a Mecha"),
        (status = 404, description = "No runtime has offered this action in the last 30 days"),
        (status = 408, description = "The body of the request did not arrive"),
        (status = 413, description = "The body of the request exceeds 1 MiB"),
        (status = 502, description = "The runtime was lost, or its response is invalid or exceeds 1 MiB"),
        (status = 504, description = "The runtime sent nothing within 60 seconds"),
        KeyProblems
    ),
    extensions(("x-response-example" = json!("{\"reply\":\"Hello\"}"))),
    security(("bearer" = []))
)]
pub(crate) async fn trigger(
    State(state): State<Arc<AppState>>,
    action: Result<Path<String>, PathRejection>,
    request: Request,
) -> Result<Response, ApiProblem> {
    let client = ClientIp::of(request.extensions());
    let requirement = Requirement { scopes: state.verifier.scopes.parse(TRIGGER), ..Requirement::default() };
    let key = authenticate(&state, request.headers(), client, requirement).await?;
    if key.mecha.is_some() {
        return Err(ApiProblem::InsufficientScope);
    }
    let action = action.ok().filter(|Path(action)| is_action(action));
    let Path(action) = action.ok_or(ApiProblem::NoSuchAction)?;
    let mecha = mecha(request.uri().query().unwrap_or_default())?;
    let is_stream = accepts_events(request.headers());
    let content_type = media_type(request.headers());
    let body = read(request).await?;
    let caller = Caller { account: key.account, key: Some((key.key, key.secret)) };
    let new = NewRequest { action, content_type, is_stream, key: Some(key.key), body };
    let response =
        state.runtimes.trigger(caller, mecha.as_deref(), new).await.map_err(|error| match error {
            TriggerError::NeverOffered => ApiProblem::NoSuchAction,
            TriggerError::NoRuntime => ApiProblem::NoRuntime,
            TriggerError::Busy => ApiProblem::Busy,
            TriggerError::Lost => ApiProblem::RuntimeLost,
            TriggerError::Interrupted(interruption) => interruption.into(),
            TriggerError::Store(error) => {
                tracing::error!(%error, "the actions of runtimes could not be read");
                ApiProblem::Unavailable
            }
        })?;
    if is_stream { stream(response).await } else { whole(response).await }
}

/// The Mecha that the query names; at most one.
fn mecha(query: &str) -> Result<Option<String>, ApiProblem> {
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(query).map_err(|_| ApiProblem::InvalidParameter)?;
    let mut mechas = pairs.into_iter().filter(|(name, _)| name == "mecha").map(|(_, value)| value);
    match (mechas.next(), mechas.next()) {
        (Some(_), Some(_)) => Err(ApiProblem::InvalidParameter),
        (mecha, _) => Ok(mecha),
    }
}

fn accepts_events(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(ACCEPT).iter().filter_map(|accepted| accepted.to_str().ok());
    accepted
        .flat_map(|accepted| accepted.split(','))
        .any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(EVENT_STREAM)))
}

fn media_type(headers: &HeaderMap) -> String {
    let stated = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    stated.filter(|kind| kind.len() <= MEDIA_TYPE_LIMIT).unwrap_or_default().to_owned()
}

/// Reads the body of a request.
async fn read(request: Request) -> Result<Bytes, ApiProblem> {
    let stated = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if stated.is_some_and(|length: u64| length > BODY_LIMIT as u64) {
        return Err(ApiProblem::PayloadTooLarge);
    }
    match timeout(BODY_TIMEOUT, Limited::new(request.into_body(), BODY_LIMIT).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(ApiProblem::PayloadTooLarge),
        Ok(Err(_)) | Err(_) => Err(ApiProblem::BodyTimeout),
    }
}

/// Receives a whole response.
async fn whole(mut response: TriggerResponse) -> Result<Response, ApiProblem> {
    let mut body = Vec::new();
    loop {
        match response.next().await? {
            ResponseEvent::Chunk(data) => {
                if body.len() + data.len() > BODY_LIMIT {
                    return Err(ApiProblem::InvalidResponse);
                }
                response.reserve(data.len()).await?;
                response.extend_window(data.len());
                body.extend_from_slice(&data);
            }
            event => return complete(event, body),
        }
    }
}

/// The response after its last part.
fn complete(event: ResponseEvent, body: Vec<u8>) -> Result<Response, ApiProblem> {
    let (status, content_type) = last(event)?;
    if status == StatusCode::NO_CONTENT && !body.is_empty() {
        return Err(ApiProblem::InvalidResponse);
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    Ok(sandboxed(response))
}

/// Status and media type of a response that is complete.
fn last(event: ResponseEvent) -> Result<(StatusCode, &'static str), ApiProblem> {
    match event {
        ResponseEvent::End { status, content_type } => {
            let status = status_of_runtime(status, true).ok_or(ApiProblem::InvalidResponse)?;
            let content_type = MEDIA_TYPES.into_iter().find(|known| content_type.eq_ignore_ascii_case(known));
            Ok((status, content_type.ok_or(ApiProblem::InvalidResponse)?))
        }
        ResponseEvent::Error { status, detail } => {
            let status = status_of_runtime(status, false).ok_or(ApiProblem::InvalidResponse)?;
            Err(ApiProblem::ActionFailed(status, detail.into()))
        }
        ResponseEvent::Lost => Err(ApiProblem::RuntimeLost),
        ResponseEvent::Overrun | ResponseEvent::Chunk(_) => Err(ApiProblem::InvalidResponse),
    }
}

/// A status that a runtime may set. Those about the credential of the caller are reserved for this server.
fn status_of_runtime(status: u16, is_success_possible: bool) -> Option<StatusCode> {
    let is_allowed = match status {
        401 | 403 | 407 | 429 => false,
        200..=202 | 204 => is_success_possible,
        _ => (400..=599).contains(&status),
    };
    StatusCode::from_u16(status).ok().filter(|_| is_allowed)
}

/// The content of another program must not act as a page of this console.
fn sandboxed(mut response: Response) -> Response {
    response.headers_mut().insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    response
}

/// Returns the chunks of a response as events (HTML, server-sent events) as they come. Until the first chunk, a failure has
/// its status. After that, it is an event and a broken stream, which does not look complete.
async fn stream(mut response: TriggerResponse) -> Result<Response, ApiProblem> {
    let first = match response.next().await? {
        ResponseEvent::Chunk(data) => data,
        event => {
            let response = complete(event, Vec::new())?;
            let status = response.status();
            return Ok(if status.is_success() { events(Body::from(end_event(status))) } else { response });
        }
    };
    let parts = unfold(Stream::Received(response, first), |stream| async {
        let (response, received) = match stream {
            Stream::Received(response, data) => (response, Ok(ResponseEvent::Chunk(data))),
            Stream::Open(mut response) => {
                let received = response.next().await.map_err(ApiProblem::from);
                (response, received)
            }
            Stream::Broken => {
                // The server sends what it has buffered while it waits, and drops it on an error.
                tokio::task::yield_now().await;
                return Some((Err(io::Error::from(io::ErrorKind::ConnectionAborted)), Stream::Complete));
            }
            Stream::Complete => return None,
        };
        let sent = received.and_then(|event| match event {
            ResponseEvent::Chunk(data) => {
                let event = chunk_event(&data).ok_or(ApiProblem::InvalidResponse)?;
                response.extend_window(data.len());
                Ok((event, Stream::Open(response)))
            }
            event => last(event).map(|(status, _)| (end_event(status), Stream::Complete)),
        });
        Some(match sent {
            Ok((event, next)) => (Ok(event), next),
            Err(problem) => (Ok(error_event(&problem)), Stream::Broken),
        })
    });
    Ok(events(Body::from_stream(parts)))
}

/// How far a stream has come.
enum Stream {
    /// The first chunk is received.
    Received(TriggerResponse, Bytes),
    Open(TriggerResponse),
    /// A failure was reported; the connection is aborted next.
    Broken,
    Complete,
}

fn events(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
    // Disables response buffering in nginx, which would delay events.
    response
        .headers_mut()
        .insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    sandboxed(response)
}

/// An event with one `data:` line for each line of a chunk; `None` if the chunk is not UTF-8.
fn chunk_event(data: &[u8]) -> Option<Bytes> {
    let text = std::str::from_utf8(data).ok()?;
    let mut event = String::with_capacity(text.len() + 16);
    // A stream of events cannot tell the three kinds of line breaks apart.
    for line in text.replace("\r\n", "\n").split(['\n', '\r']) {
        event.push_str("data: ");
        event.push_str(line);
        event.push('\n');
    }
    event.push('\n');
    Some(event.into())
}

fn end_event(status: StatusCode) -> Bytes {
    format!("event: end\ndata: {{\"status\":{}}}\n\n", status.as_u16()).into()
}

fn error_event(problem: &ApiProblem) -> Bytes {
    let body = serde_json::to_string(&problem.body()).unwrap_or_default();
    format!("event: error\ndata: {body}\n\n").into()
}

impl From<Interruption> for ApiProblem {
    fn from(interruption: Interruption) -> Self {
        match interruption {
            Interruption::KeyEnded => Self::InvalidToken,
            Interruption::Unverified => Self::Unavailable,
            Interruption::TimedOut => Self::RuntimeTimeout,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_a_chunk_is_a_data_line() {
        let event = |data: &[u8]| chunk_event(data).map(|event| String::from_utf8(event.to_vec()).unwrap());
        assert_eq!(event(b"one").as_deref(), Some("data: one\n\n"));
        assert_eq!(event(b"a\r\nb\rc\n").as_deref(), Some("data: a\ndata: b\ndata: c\ndata: \n\n"));
        assert_eq!(event(b"event: end\n").as_deref(), Some("data: event: end\ndata: \n\n"));
        assert_eq!(event(b"\xff"), None);
    }

    #[test]
    fn statuses_about_the_credential_of_the_caller_are_reserved() {
        for status in [200, 201, 202, 204, 400, 404, 418, 500, 599] {
            assert!(status_of_runtime(status, true).is_some(), "{status}");
        }
        for status in [0, 100, 101, 203, 206, 301, 302, 304, 401, 403, 407, 429, 600, 999] {
            assert!(status_of_runtime(status, true).is_none(), "{status}");
        }
        assert!(status_of_runtime(200, false).is_none() && status_of_runtime(422, false).is_some());
    }
}
