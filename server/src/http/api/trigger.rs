//! `POST /v1/trigger/{action}`: sends a request to a connected runtime, and returns its response.

use crate::client::ClientIp;
use crate::http::problem::{ApiProblem, KeyProblems};
use crate::http::verify::credential::authenticate;
use crate::key_cache::verifier::Requirement;
use crate::runtimes::callers::{Caller, Credential, Interruption};
use crate::runtimes::frames::{ResponseEvent, is_action};
use crate::runtimes::requests::NewRequest;
use crate::runtimes::triggers::{Reserved, TriggerError, TriggerResponse};
use crate::state::AppState;
use app::domain::access::TRIGGER;
use axum::body::{Body, Bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Version};
use axum::response::Response;
use futures::stream::unfold;
use http_body_util::{BodyExt, Full, Limited};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::timeout;

/// Size limit of the body of a request, and of a response that is not streamed, in bytes.
const BODY_LIMIT: usize = 1024 * 1024;
/// From this length of a response on, its window is extended.
const EXTEND_FROM: usize = 128 * 1024;
/// How long the end of a stream waits for a caller that reads slowly.
const LAST_TIMEOUT: Duration = Duration::from_secs(30);
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
        (status = 505, description = "A stream of events was requested over HTTP/1.0"),
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
    // HTTP/1.0 has no chunked encoding: the end of the connection would mean that a failed stream is complete.
    if is_stream && request.version() < Version::HTTP_11 {
        return Err(ApiProblem::HttpVersion);
    }
    let content_type = media_type(request.headers());
    let (body, reserved) = read(&state, request).await?;
    let credential = Credential::Key { id: key.key, secret: key.secret };
    let caller = Caller { account: key.account, credential };
    let new = NewRequest { action, content_type, is_stream, caller, body };
    let response = state.runtimes.trigger(mecha.as_deref(), new, reserved).await?;
    if is_stream { stream(response).await } else { whole(response).await }
}

/// The Mecha that the query names; at most one.
fn mecha(query: &str) -> Result<Option<String>, ApiProblem> {
    let pairs: Vec<(String, String)> =
        serde_urlencoded::from_str(query).map_err(|_| ApiProblem::InvalidParameter)?;
    let mut mechas = pairs.into_iter().filter(|(name, _)| name == "mecha").map(|(_, value)| value);
    match (mechas.next(), mechas.next()) {
        (Some(_), Some(_)) => Err(ApiProblem::InvalidParameter),
        // No Mecha has such a name.
        (Some(name), None) if name.is_empty() || name.contains('\0') => Err(ApiProblem::InvalidParameter),
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

/// Reads the body of a request, for which memory is reserved first.
async fn read(state: &AppState, request: Request) -> Result<(Bytes, Reserved), ApiProblem> {
    let stated = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if stated.is_some_and(|length: u64| length > BODY_LIMIT as u64) {
        return Err(ApiProblem::PayloadTooLarge);
    }
    let length = stated.and_then(|length| usize::try_from(length).ok()).unwrap_or(BODY_LIMIT);
    let mut reserved = state.runtimes.reserve(length).ok_or(ApiProblem::Busy)?;
    match timeout(BODY_TIMEOUT, Limited::new(request.into_body(), BODY_LIMIT).collect()).await {
        Ok(Ok(body)) => {
            let body = body.to_bytes();
            reserved.shrink(body.len());
            Ok((body, reserved))
        }
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(ApiProblem::PayloadTooLarge),
        Ok(Err(_)) | Err(_) => Err(ApiProblem::BodyTimeout),
    }
}

/// Receives a whole response.
async fn whole(mut response: TriggerResponse) -> Result<Response, ApiProblem> {
    let mut body = Vec::new();
    // What is kept takes the memory of the window, until that is extended.
    let mut unextended = 0;
    loop {
        match response.next().await? {
            ResponseEvent::Chunk(data) => {
                if body.len() + data.len() > BODY_LIMIT {
                    return Err(ApiProblem::InvalidResponse);
                }
                body.extend_from_slice(&data);
                unextended += data.len();
                if body.len() > EXTEND_FROM {
                    response.reserve(unextended)?;
                    response.extend_window(std::mem::take(&mut unextended));
                }
            }
            event => {
                let (status, content_type) = last(event)?;
                return complete(status, content_type, body, Some(response.into_reserved()));
            }
        }
    }
}

/// A complete response. Its memory is `reserved` until it is sent.
fn complete(
    status: StatusCode,
    content_type: &'static str,
    body: Vec<u8>,
    reserved: Option<Reserved>,
) -> Result<Response, ApiProblem> {
    if status == StatusCode::NO_CONTENT && !body.is_empty() {
        return Err(ApiProblem::InvalidResponse);
    }
    let length = body.len();
    let held = Full::new(Bytes::from(body)).map_frame(move |frame| {
        let _ = &reserved;
        frame
    });
    let mut response = Response::new(if length == 0 { Body::empty() } else { Body::new(held) });
    *response.status_mut() = status;
    if status != StatusCode::NO_CONTENT {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(length));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    }
    Ok(sandboxed(response))
}

/// Status and media type of a response that is complete.
///
/// # Errors
/// The response has failed.
pub(crate) fn last(event: ResponseEvent) -> Result<(StatusCode, &'static str), ApiProblem> {
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
            let (status, content_type) = last(event)?;
            if status.is_success() {
                return Ok(events(Body::from(end_event(status))));
            }
            return complete(status, content_type, Vec::new(), None);
        }
    };
    let (sender, receiver) = channel(1);
    tokio::spawn(pass_on(response, first, sender));
    let parts = unfold(Some(receiver), |receiver| async {
        let mut receiver = receiver?;
        match receiver.recv().await {
            Some(Part::Event(event)) => Some((Ok(event), Some(receiver))),
            Some(Part::Last(event)) => Some((Ok(event), None)),
            None => {
                // The server sends what it has buffered while it waits, and drops it on an error.
                tokio::task::yield_now().await;
                Some((Err(io::Error::from(io::ErrorKind::ConnectionAborted)), None))
            }
        }
    });
    Ok(events(Body::from_stream(parts)))
}

/// A part of a stream. A stream without the last one is broken.
enum Part {
    Event(Bytes),
    Last(Bytes),
}

/// Passes a response on to its caller. It ends when the caller leaves, and when its key ends, whether the caller reads or
/// not: the request is then cancelled at once.
async fn pass_on(mut response: TriggerResponse, first: Bytes, sender: Sender<Part>) {
    let mut received = Ok(ResponseEvent::Chunk(first));
    loop {
        let (part, length) = match received.map_err(ApiProblem::from).and_then(part) {
            Ok(part) => part,
            Err(problem) => (Part::Event(error_event(&problem)), None),
        };
        let Some(length) = length else {
            // The request has ended, and does not wait for a caller that reads slowly.
            drop(response);
            let _ = timeout(LAST_TIMEOUT, sender.send(part)).await;
            return;
        };
        if !matches!(response.deliver(sender.send(part)).await, Ok(Ok(()))) {
            return;
        }
        response.extend_window(length);
        received = tokio::select! {
            biased;
            () = sender.closed() => return,
            received = response.next() => received,
        };
    }
}

/// The part for an event, and the length of its chunk.
fn part(event: ResponseEvent) -> Result<(Part, Option<usize>), ApiProblem> {
    match event {
        ResponseEvent::Chunk(data) => {
            let event = chunk_event(&data).ok_or(ApiProblem::InvalidResponse)?;
            Ok((Part::Event(event), Some(data.len())))
        }
        event => last(event).map(|(status, _)| (Part::Last(end_event(status)), None)),
    }
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

impl From<TriggerError> for ApiProblem {
    fn from(error: TriggerError) -> Self {
        match error {
            TriggerError::NeverOffered => Self::NoSuchAction,
            TriggerError::NoRuntime => Self::NoRuntime,
            TriggerError::Busy => Self::Busy,
            TriggerError::Lost => Self::RuntimeLost,
            TriggerError::Interrupted(interruption) => interruption.into(),
            TriggerError::Store(error) => {
                tracing::error!(%error, "the actions of runtimes could not be read");
                Self::Unavailable
            }
        }
    }
}

impl From<Interruption> for ApiProblem {
    fn from(interruption: Interruption) -> Self {
        match interruption {
            Interruption::KeyEnded => Self::InvalidToken,
            Interruption::Unverified => Self::Unavailable,
            Interruption::TimedOut => Self::RuntimeTimeout,
            Interruption::OutOfMemory => Self::Busy,
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
