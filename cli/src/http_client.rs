//! Requests to the HTTP API of a console.

use crate::failure::Failure;
use crate::secret::Secret;
use crate::server_url::ServerUrl;
use crate::transport;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, LOCATION, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::Value;
use std::time::Duration;
use tokio::time::timeout;

/// What the command line calls itself in requests.
pub(crate) const AGENT: &str = concat!("mecha/", env!("CARGO_PKG_VERSION"));
/// Timeout until the response to an API request begins.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);
/// Timeout of the response of a runtime. The server limits it to 10 minutes, and returns it when it is complete.
pub(crate) const TRIGGER_TIMEOUT: Duration = Duration::from_secs(11 * 60);
/// Timeout of the body of a response that is not streamed.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// Size limit of a response that is not streamed, in bytes.
const BODY_LIMIT: usize = 2 * 1024 * 1024;

/// Why a request was rejected (RFC 9457).
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Problem {
    #[serde(default)]
    pub(crate) r#type: String,
    #[serde(default)]
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) detail: Option<String>,
}

impl Problem {
    /// The problem that a response states; `None` if it does not.
    pub(crate) fn of(headers: &HeaderMap, body: &[u8]) -> Option<Self> {
        let kind = headers.get(CONTENT_TYPE)?.to_str().ok()?;
        kind.starts_with("application/problem+json").then(|| serde_json::from_slice(body).ok())?
    }

    /// The name that ends the type, such as `no-runtime`.
    pub(crate) fn name(&self) -> &str {
        self.r#type.rsplit(':').next().unwrap_or_default()
    }
}

/// Sends a request, and returns the head of its response, which must begin within `limit`. The body is read from it.
///
/// # Errors
/// There is no response, or it is a redirect.
pub(crate) async fn send(
    url: &ServerUrl,
    secret: &Secret,
    method: Method,
    path: &str,
    headers: HeaderMap,
    body: Bytes,
    limit: Duration,
) -> Result<Response<Incoming>, Failure> {
    let not_sent = |error: http::Error| Failure::usage(format!("the request cannot be sent: {error}"));
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, url.authority())
        .header(USER_AGENT, AGENT)
        .header(AUTHORIZATION, format!("Bearer {}", secret.expose()))
        .body(Full::new(body))
        .map_err(not_sent)?;
    request.headers_mut().extend(headers);
    let stream = TokioIo::new(transport::connect(url).await?);
    let (mut sender, connection) =
        http1::handshake(stream).await.map_err(|error| no_response(url, &error))?;
    // It ends when the response has been read or is dropped.
    tokio::spawn(connection);
    let response = timeout(limit, sender.send_request(request)).await;
    let response = response
        .map_err(|_| Failure::unreachable(format!("{url} does not respond within {} s", limit.as_secs())))?
        .map_err(|error| no_response(url, &error))?;
    match redirect(url, response.status(), response.headers()) {
        Some(failure) => Err(failure),
        None => Ok(response),
    }
}

/// Gets an object from the API.
///
/// # Errors
/// There is no response, or it is not the object.
pub(crate) async fn get(url: &ServerUrl, secret: &Secret, path: &str) -> Result<Value, Failure> {
    let response =
        send(url, secret, Method::GET, path, HeaderMap::new(), Bytes::new(), RESPONSE_TIMEOUT).await?;
    let (head, body) = response.into_parts();
    let body = collect(url, body).await?;
    if head.status != StatusCode::OK {
        return Err(rejection(url, head.status, &head.headers, &body));
    }
    serde_json::from_slice(&body).map_err(|_| not_a_console(url))
}

/// Reads a whole body.
///
/// # Errors
/// It is not complete, or too large.
pub(crate) async fn collect(url: &ServerUrl, body: Incoming) -> Result<Bytes, Failure> {
    match timeout(BODY_TIMEOUT, Limited::new(body, BODY_LIMIT).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) => Err(Failure::error(format!("the response of {url} is not complete: {error}"))),
        Err(_) => Err(Failure::error(format!("the response of {url} is not complete"))),
    }
}

/// The failure that a redirect is; `None` for another status.
pub(crate) fn redirect(url: &ServerUrl, status: StatusCode, headers: &HeaderMap) -> Option<Failure> {
    status.is_redirection().then(|| {
        let location = headers.get(LOCATION).and_then(|location| location.to_str().ok()).unwrap_or("nowhere");
        Failure::error(format!("{url} redirects to {location}; the key was not sent there"))
            .hint("If that is the console, use its URL.")
    })
}

/// The failure that a rejected request is.
pub(crate) fn rejection(url: &ServerUrl, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    let problem = Problem::of(headers, body);
    if problem.is_none() && !matches!(status.as_u16(), 401 | 403 | 429 | 500..) {
        return not_a_console(url);
    }
    let problem = problem.unwrap_or_default();
    let (title, name) = (problem.title.trim_end_matches('.').to_owned(), problem.name().to_owned());
    let title = if title.is_empty() { format!("{url} responds with {status}") } else { title };
    let title = problem.detail.map_or(title.clone(), |detail| format!("{title}: {detail}"));
    match (status.as_u16(), name.as_str()) {
        (401, _) => {
            Failure::denied(format!("{url} denies the key: it is wrong, expired, switched off or deleted"))
                .hint("Copy the key again, or create a new one in the console.")
        }
        (403, _) => Failure::denied(title).hint(
            "Mechas are called with a key of the account that has access to everything or the scope trigger; \
                   mecha connect needs a key of a Mecha.",
        ),
        (429, _) => Failure::unreachable(title).hint(retry_hint(headers)),
        (503, "no-runtime") => Failure::error(title)
            .hint("Connect a runtime: mecha connect --handle ACTION=COMMAND with a key of the Mecha."),
        (404, "no-such-action") => Failure::error(title)
            .hint("mecha status lists the Mechas. Actions are in the spelling of --handle."),
        (503, "busy") => Failure::error(title).hint(retry_hint(headers)),
        (502..=504, "") | (503, _) => Failure::unreachable(title).hint(retry_hint(headers)),
        _ => Failure::error(title),
    }
}

/// When to try again, in seconds, as a response states it.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

fn retry_hint(headers: &HeaderMap) -> String {
    retry_after(headers)
        .map_or("Try again later.".to_owned(), |after| format!("Try again in {} s.", after.as_secs()))
}

pub(crate) fn not_a_console(url: &ServerUrl) -> Failure {
    Failure::error(format!("{url} is not a Mecha Console")).hint("Check --url, MECHA_URL or the profile.")
}

fn no_response(url: &ServerUrl, error: &hyper::Error) -> Failure {
    if error.is_parse() {
        return Failure::error(format!("{url} does not speak HTTP")).hint(if url.is_https {
            "Check the port."
        } else {
            "Check the port, or use https://…"
        });
    }
    Failure::unreachable(format!("{url} closed the connection without a response"))
}
