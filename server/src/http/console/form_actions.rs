//! Server functions over HTTP, for forms and for clients that accept JSON.
//!
//! Leptos responds to a plain form with a redirect to the page that it came from. That would lose the input, and the
//! secret of a new key (leptos#2321). Here, the response to a form is a page: the next one, or the same one with the
//! input and its errors. The use case runs once, in the server function. Its result is then returned as JSON or
//! rendered as a page.

use crate::http::console::pages::sign_in_url;
use crate::http::middleware::compression::NotCompressed;
use crate::http::problem::ApiProblem;
use app::domain::api_key::{KeyId, KeyList};
use app::domain::field_error::Field;
use app::domain::mecha::{KeyOwner, MechaId};
use app::routes::{Action, HOME, page_of};
use app::view::refusal::Refusal;
use app::view::submission::{FormValues, Submission};
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::post;
use axum::{Json, Router};
use tower::ServiceExt;

const FORM: &str = "application/x-www-form-urlencoded";

/// The routes of the server functions. `pages` contains the server functions and the pages.
pub(crate) fn router(pages: Router) -> Router {
    Router::new().route("/rpc/{*function}", post(run).get(redirect_to_form)).with_state(pages)
}

/// Redirects GET requests for a server function to the page with its form. After a form was submitted, the browser
/// shows that address, and the user may open it again.
async fn redirect_to_form(State(pages): State<Router>, request: Request) -> Response {
    if let Some(action) = Action::at(request.uri().path()) {
        return Redirect::to(&action.form_url(None, &KeyOwner::Account, false)).into_response();
    }
    let (parts, _) = request.into_parts();
    not_found(&pages, parts).await
}

async fn not_found(pages: &Router, mut parts: Parts) -> Response {
    parts.method = Method::GET;
    parts.headers.remove(CONTENT_LENGTH);
    send(pages, Request::from_parts(parts, Body::empty())).await
}

async fn send(pages: &Router, request: Request) -> Response {
    match pages.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

async fn run(State(pages): State<Router>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    // `timeouts::read_body` has read the body and limited its size.
    let Ok(body) = to_bytes(body, usize::MAX).await else { return internal() };
    if !parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(FORM.as_bytes())) {
        return (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Send a form.").into_response();
    }
    let Some(action) = Action::at(parts.uri.path()) else { return not_found(&pages, parts).await };
    let wants_page = parts
        .headers
        .get_all(ACCEPT)
        .iter()
        .any(|kinds| kinds.to_str().is_ok_and(|kinds| kinds.contains("text/html")));
    parts.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let result = match call(&pages, &parts, with_lists(body.clone())).await {
        Ok(result) => result,
        Err(response) => return response,
    };
    let shows_secret = result.is_ok() && action.reveals_secret();
    let mut response =
        if wants_page { page(&pages, parts, action, &body, result).await } else { json(result) };
    if shows_secret {
        response.extensions_mut().insert(NotCompressed);
    }
    response
}

/// The result of a server function: its JSON, or why it failed.
type ActionResult = Result<Bytes, Refusal>;

/// Renames the fields of lists to `scopes[]`: Leptos rejects a field that occurs several times otherwise (`serde_qs`).
fn with_lists(body: Bytes) -> Bytes {
    let list = Field::Scopes.name();
    let Ok(mut fields) = serde_urlencoded::from_bytes::<Vec<(String, String)>>(&body) else { return body };
    if fields.iter().all(|(name, _)| name != list) {
        return body;
    }
    for (name, _) in fields.iter_mut().filter(|(name, _)| name == list) {
        name.push_str("[]");
    }
    serde_urlencoded::to_string(fields).map_or(body, Bytes::from)
}

/// Calls a server function. The error is a response to return as it is.
async fn call(pages: &Router, parts: &Parts, body: Bytes) -> Result<ActionResult, Response> {
    let response = send(pages, Request::from_parts(parts.clone(), Body::from(body))).await;
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.map_err(|_| internal())?;
    if status.is_success() {
        return Ok(Ok(body));
    }
    serde_json::from_slice::<Refusal>(&body).map(Err).map_err(|error| {
        tracing::error!(%error, "a server function failed with an unknown error");
        internal()
    })
}

fn json(result: ActionResult) -> Response {
    match result {
        Ok(body) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => {
            let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = (status, Json(&error)).into_response();
            set_retry_after(&mut response, &error);
            response
        }
    }
}

async fn page(pages: &Router, parts: Parts, action: Action, body: &Bytes, result: ActionResult) -> Response {
    let typed = input(body);
    let is_active = typed.get("active") == Some("true");
    let owner: KeyOwner = typed.get("mecha_id").and_then(MechaId::parse).into();
    let form_url = || action.form_url(typed.get("key_id").and_then(KeyId::parse), &owner, is_active);
    match result {
        Ok(body) if action.reveals_secret() => match serde_json::from_slice(&body) {
            Ok(list) => reveal(pages, parts, list).await,
            Err(_) => internal(),
        },
        Ok(body) => Redirect::to(&next_url(action, &typed, &owner, &body)).into_response(),
        Err(error) if error.status == StatusCode::UNAUTHORIZED && action != Action::SignIn => {
            Redirect::to(&sign_in_url(&parts.extensions, &parts.headers, &form_url())).into_response()
        }
        Err(error) => {
            let submission = Submission { typed: typed.clone(), outcome: Err(error.clone()) };
            let mut response = render(pages, parts, &form_url(), submission).await;
            set_retry_after(&mut response, &error);
            response
        }
    }
}

/// Renders the page that shows the secret of a new key, once.
async fn reveal(pages: &Router, parts: Parts, list: KeyList) -> Response {
    let page = page_of(&list.owner);
    let submission = Submission { typed: FormValues::default(), outcome: Ok(list) };
    render(pages, parts, &page, submission).await
}

/// Renders the page at `address` as the response to a form.
async fn render(pages: &Router, mut parts: Parts, address: &str, submission: Submission) -> Response {
    let Ok(uri) = address.parse::<Uri>() else { return internal() };
    parts.method = Method::GET;
    parts.uri = uri;
    parts.headers.remove(CONTENT_TYPE);
    parts.headers.remove(CONTENT_LENGTH);
    parts.extensions.insert(submission);
    send(pages, Request::from_parts(parts, Body::empty())).await
}

/// The URL to redirect to after a successful form.
fn next_url(action: Action, typed: &FormValues, owner: &KeyOwner, body: &[u8]) -> String {
    match action.done(typed.get("active") == Some("true")) {
        Some(done) => done.href(&page_of(owner)),
        // Server functions of accounts and Mechas return the URL.
        None => serde_json::from_slice(body).unwrap_or_else(|_| HOME.to_owned()),
    }
}

/// The input of a form, without passwords, which no page may return.
fn input(body: &[u8]) -> FormValues {
    let fields: Vec<(String, String)> = serde_urlencoded::from_bytes(body).unwrap_or_default();
    FormValues(fields.into_iter().filter(|(name, _)| !Field::is_password(name)).collect())
}

fn internal() -> Response {
    ApiProblem::Internal.into_response()
}

fn set_retry_after(response: &mut Response, error: &Refusal) {
    if error.retry_after > 0 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(error.retry_after));
    }
}
