//! Server functions over HTTP, for the island and for plain forms.
//!
//! Leptos responds to a plain form with a redirect to the page that it came from. That would lose the input, and the
//! secret of a new key (leptos#2321). Here, the response to a form is a page: the next one, or the same one with the
//! input and its errors. The use case runs once, in the server function. Its result is then returned as JSON or
//! rendered as a page.

use crate::http::middleware::compression::NotCompressed;
use crate::http::problem::ApiProblem;
use app::domain::api_key::{KeyId, KeyList};
use app::domain::field_error::Field;
use app::routes::{ACCOUNT, Dialog, Done, HOME, SIGN_IN, SIGN_UP, with_next};
use app::server_fns::account::{ChangePassword, DeleteAccount, SignIn, SignOut, SignOutEverywhere, SignUp};
use app::server_fns::keys::{
    CreateKey, DeleteKey, RefreshKey, RenameKey, RetireKey, RotateKey, SetKeyActive,
};
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
use leptos::server_fn::ServerFn;
use tower::ServiceExt;

/// The paths of all server functions.
const ACTIONS: [&str; 13] = [
    SignUp::PATH,
    SignIn::PATH,
    SignOut::PATH,
    ChangePassword::PATH,
    SignOutEverywhere::PATH,
    DeleteAccount::PATH,
    CreateKey::PATH,
    RenameKey::PATH,
    RefreshKey::PATH,
    SetKeyActive::PATH,
    RotateKey::PATH,
    RetireKey::PATH,
    DeleteKey::PATH,
];

/// Paths of the server functions of Settings → Account.
const ACCOUNT_ACTIONS: [&str; 3] = [ChangePassword::PATH, SignOutEverywhere::PATH, DeleteAccount::PATH];

/// Paths of the server functions that return a secret.
const REVEALING: [&str; 2] = [CreateKey::PATH, RotateKey::PATH];

const FORM: &str = "application/x-www-form-urlencoded";

/// The routes of the server functions. `pages` contains the server functions and the pages.
pub(crate) fn router(pages: Router) -> Router {
    Router::new().route("/rpc/{*function}", post(run).get(redirect_to_form)).with_state(pages)
}

/// Redirects GET requests for a server function to the page with its form. After a form was submitted, the browser
/// shows that address, and the user may open it again.
async fn redirect_to_form(State(pages): State<Router>, request: Request) -> Response {
    if ACTIONS.contains(&request.uri().path()) {
        return Redirect::to(&form_address(request.uri().path(), &FormValues::default())).into_response();
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
    if !ACTIONS.contains(&parts.uri.path()) {
        return not_found(&pages, parts).await;
    }
    let wants_page = parts
        .headers
        .get_all(ACCEPT)
        .iter()
        .any(|kinds| kinds.to_str().is_ok_and(|kinds| kinds.contains("text/html")));
    parts.headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    let result = match call(&pages, &parts, body.clone()).await {
        Ok(result) => result,
        Err(response) => return response,
    };
    let shows_secret = result.is_ok() && REVEALING.contains(&parts.uri.path());
    let mut response = if wants_page { page(&pages, parts, &body, result).await } else { json(result) };
    if shows_secret {
        response.extensions_mut().insert(NotCompressed);
    }
    response
}

/// The result of a server function: its JSON, or why it failed.
type ActionResult = Result<Bytes, Refusal>;

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

async fn page(pages: &Router, parts: Parts, body: &Bytes, result: ActionResult) -> Response {
    let typed = input(body);
    let path = parts.uri.path().to_owned();
    match result {
        Ok(body) if REVEALING.contains(&path.as_str()) => match serde_json::from_slice(&body) {
            Ok(list) => reveal(pages, parts, list).await,
            Err(_) => internal(),
        },
        Ok(body) => Redirect::to(&next_address(&path, &typed, &body)).into_response(),
        Err(error) if error.status == StatusCode::UNAUTHORIZED && path != SignIn::PATH => {
            Redirect::to(&with_next(SIGN_IN, &form_address(&path, &typed))).into_response()
        }
        Err(error) => {
            let address = form_address(&path, &typed);
            let submission = Submission { typed, outcome: Err(error.clone()) };
            let mut response = render(pages, parts, &address, submission).await;
            set_retry_after(&mut response, &error);
            response
        }
    }
}

/// Renders the page that shows the secret of a new key, once.
async fn reveal(pages: &Router, parts: Parts, list: KeyList) -> Response {
    let submission = Submission { typed: FormValues::default(), outcome: Ok(list) };
    render(pages, parts, &Dialog::Generate.href(), submission).await
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

/// The address to redirect to after a successful form.
fn next_address(path: &str, typed: &FormValues, body: &[u8]) -> String {
    let done = if path == RenameKey::PATH {
        Done::Renamed
    } else if path == RefreshKey::PATH {
        Done::Refreshed
    } else if path == RetireKey::PATH {
        Done::Retired
    } else if path == DeleteKey::PATH {
        Done::Deleted
    } else if path == SetKeyActive::PATH {
        if typed.get("active") == Some("true") { Done::SwitchedOn } else { Done::SwitchedOff }
    } else {
        // Server functions of accounts return the address.
        return serde_json::from_slice(body).unwrap_or_else(|_| HOME.to_owned());
    };
    done.href(HOME)
}

/// The address of the page with the form of a server function.
fn form_address(path: &str, typed: &FormValues) -> String {
    let key = typed.get("key_id").and_then(KeyId::parse);
    let dialog = match key {
        _ if path == SignIn::PATH || path == SignOut::PATH => return SIGN_IN.to_owned(),
        _ if path == SignUp::PATH => return SIGN_UP.to_owned(),
        _ if ACCOUNT_ACTIONS.contains(&path) => return ACCOUNT.to_owned(),
        _ if path == CreateKey::PATH => Some(Dialog::Generate),
        Some(key) if path == RenameKey::PATH => Some(Dialog::Rename(key)),
        Some(key) if path == RefreshKey::PATH => Some(Dialog::Refresh(key)),
        Some(key) if path == RotateKey::PATH => Some(Dialog::Rotate(key)),
        Some(key) if path == RetireKey::PATH => Some(Dialog::Retire(key)),
        Some(key) if path == DeleteKey::PATH => Some(Dialog::Delete(key)),
        _ => None,
    };
    dialog.map_or_else(|| HOME.to_owned(), |dialog| dialog.href())
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
