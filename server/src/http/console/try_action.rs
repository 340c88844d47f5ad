//! `POST /mechas/{mecha}/try`: the owner calls an action of a Mecha, and sees the response as it comes.
//!
//! The response is a page, which the form shows in a frame. So it needs no script. It contains what a program has sent:
//! its policy allows nothing but text.

use crate::http::api::trigger::last;
use crate::http::middleware::compression::NotCompressed;
use crate::http::problem::ApiProblem;
use crate::ids::parse_id;
use crate::runtimes::callers::{Caller, Credential};
use crate::runtimes::frames::{ResponseEvent, is_action};
use crate::runtimes::requests::NewRequest;
use crate::runtimes::triggers::TriggerResponse;
use crate::services::sessions;
use crate::state::AppState;
use app::backend::{MechaBackend, SignedIn};
use app::domain::mecha::MechaId;
use app::routes::MECHAS;
use app::text::runtimes as text;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_FRAME_OPTIONS};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use axum::response::Response;
use axum::routing::post;
use futures::stream::{Stream, StreamExt, once, unfold};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How much of a response is shown, in bytes. Then the request is cancelled.
const SHOWN_LIMIT: usize = 1024 * 1024;
/// Interval at which the session of the owner is verified while a response is being received.
const SESSION_INTERVAL: Duration = Duration::from_secs(1);
const POLICY: &str =
    "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox";
const BEGIN: &str = "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
    <meta name=\"color-scheme\" content=\"light dark\"><title>Response</title></head><body><pre>";

pub(crate) fn router(state: Arc<AppState>) -> Router {
    Router::new().route(&format!("{MECHAS}/{{mecha}}/try"), post(try_action)).with_state(state)
}

/// The fields of the form.
#[derive(Deserialize)]
struct Input {
    /// The action.
    trigger: String,
    /// The body of the request.
    #[serde(default)]
    body: String,
    /// Present if the response should be streamed.
    stream: Option<String>,
}

async fn try_action(
    State(state): State<Arc<AppState>>,
    Path(mecha): Path<String>,
    extensions: Extensions,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let who = match sessions::signed_in(&extensions, &headers).await {
        Ok(Some(who)) => who,
        Ok(None) => return page(Body::from(format!("{BEGIN}</pre>{}", paragraph(text::SIGNED_OUT)))),
        Err(_) => return failed(&ApiProblem::Unavailable),
    };
    match begin(&state, &who, &mecha, &body).await {
        Ok((response, is_stream)) => {
            let shown = Shown::new(state, who, response, is_stream);
            let begin = once(async { Ok::<_, Infallible>(Bytes::from_static(BEGIN.as_bytes())) });
            page(Body::from_stream(begin.chain(shown.parts())))
        }
        Err(problem) => failed(&problem),
    }
}

/// Sends the request to a runtime of the Mecha.
async fn begin(
    state: &AppState,
    who: &SignedIn,
    mecha: &str,
    body: &[u8],
) -> Result<(TriggerResponse, bool), ApiProblem> {
    let input: Input = serde_urlencoded::from_bytes(body).map_err(|_| ApiProblem::InvalidParameter)?;
    let mecha = MechaId::parse(mecha).ok_or(ApiProblem::NotFound)?;
    let mecha = state.mechas.find(&who.account, &mecha).await.map_err(|_| ApiProblem::Unavailable)?;
    let mecha = mecha.ok_or(ApiProblem::NotFound)?;
    if !is_action(&input.trigger) {
        return Err(ApiProblem::NoSuchAction);
    }
    let account = parse_id(&who.account.0).ok_or(ApiProblem::Internal)?;
    let session = <[u8; 32]>::try_from(who.session.as_slice()).map_err(|_| ApiProblem::Internal)?;
    let is_json = serde_json::from_str::<IgnoredAny>(&input.body).is_ok();
    let reserved = state.runtimes.reserve(input.body.len()).ok_or(ApiProblem::Busy)?;
    let request = NewRequest {
        action: input.trigger,
        content_type: if is_json { "application/json" } else { "text/plain" }.to_owned(),
        is_stream: input.stream.is_some(),
        caller: Caller { account, credential: Credential::Session(session) },
        body: input.body.into(),
    };
    let is_stream = request.is_stream;
    Ok((state.runtimes.trigger(Some(mecha.id.as_str()), request, reserved).await?, is_stream))
}

/// A response that is being shown.
struct Shown {
    /// Completes when the session of the owner has ended.
    session_ended: Pin<Box<dyn Future<Output = ()> + Send>>,
    response: TriggerResponse,
    is_stream: bool,
    began_at: Instant,
    /// The number of bytes so far.
    length: usize,
    /// The beginning of a character whose end has not arrived.
    incomplete: Vec<u8>,
}

impl Shown {
    fn new(state: Arc<AppState>, who: SignedIn, response: TriggerResponse, is_stream: bool) -> Self {
        let session_ended = Box::pin(session_ended(state, who));
        Self {
            session_ended,
            response,
            is_stream,
            began_at: Instant::now(),
            length: 0,
            incomplete: Vec::new(),
        }
    }

    /// The parts of the page, as they come. Dropping the stream cancels the request.
    fn parts(self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        unfold(Some(self), |shown| async {
            let mut shown = shown?;
            match shown.next().await {
                Ok(text) => Some((Ok(escaped(&text).into()), Some(shown))),
                Err(last) => {
                    let rest = escaped(&String::from_utf8_lossy(&shown.incomplete));
                    Some((Ok(format!("{rest}</pre>{}", paragraph(&last)).into()), None))
                }
            }
        })
    }

    /// The next text of the response.
    ///
    /// # Errors
    /// How the response ended, for the owner.
    async fn next(&mut self) -> Result<String, String> {
        let event = tokio::select! {
            biased;
            () = &mut self.session_ended => return Err(text::SIGNED_OUT.to_owned()),
            event = self.response.next() => event.map_err(ApiProblem::from),
        };
        let data = match event {
            Ok(ResponseEvent::Chunk(data)) => data,
            Ok(event) => return Err(self.ended(last(event).map(|(status, _)| status.as_u16()))),
            Err(problem) => return Err(self.ended(Err(problem))),
        };
        self.response.extend_window(data.len());
        self.length += data.len();
        if self.length > SHOWN_LIMIT {
            return Err(text::TOO_LONG.to_owned());
        }
        self.incomplete.extend_from_slice(&data);
        if self.is_stream {
            self.incomplete.push(b'\n');
        }
        let complete = match std::str::from_utf8(&self.incomplete) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.incomplete.len(),
        };
        let complete: Vec<u8> = self.incomplete.drain(..complete).collect();
        Ok(String::from_utf8_lossy(&complete).into_owned())
    }

    fn ended(&self, result: Result<u16, ApiProblem>) -> String {
        match result {
            Ok(status) => text::completed(status, self.began_at.elapsed().as_millis()),
            Err(problem) => description(&problem),
        }
    }
}

/// Waits until the session of the owner has ended.
async fn session_ended(state: Arc<AppState>, who: SignedIn) {
    loop {
        sleep(SESSION_INTERVAL).await;
        if !state.sessions.is_hash_live(&who.session, &who.account).await {
            return;
        }
    }
}

fn failed(problem: &ApiProblem) -> Response {
    page(Body::from(format!("{BEGIN}</pre>{}", paragraph(&description(problem)))))
}

/// Why there is no complete response.
fn description(problem: &ApiProblem) -> String {
    let status = problem.status().as_u16();
    match problem {
        // The session has ended before another node got the request.
        ApiProblem::InvalidToken => text::SIGNED_OUT.to_owned(),
        ApiProblem::ActionFailed(_, detail) if !detail.is_empty() => format!("{status}: {detail}"),
        problem => format!("{status}: {}", problem.title()),
    }
}

fn page(body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("SAMEORIGIN"));
    // Disables response buffering in nginx, which would delay the parts.
    headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
    response.extensions_mut().insert(NotCompressed);
    response
}

fn paragraph(text: &str) -> String {
    format!("<p>{}</p>", escaped(text))
}

/// A text as content of an HTML element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}
