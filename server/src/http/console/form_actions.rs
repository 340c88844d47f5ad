//! Server functions over HTTP, for the island and for plain forms.
//!
//! Leptos answers a plain form with a redirect to where it came from, which would lose what was typed, and
//! the secret of a new key with it (leptos#2321). Here, the answer to a form is a page: the one that follows,
//! or the same with what was typed and what to mend. The use case runs once and in one place, the server
//! function; what it answered is then shown either as JSON or as a page.

use crate::http::middleware::compression::ShowsSecret;
use crate::http::problem::ApiProblem;
use app::domain::api_key::{KeyId, KeyList};
use app::error::{Field, Refusal};
use app::routes::{ACCOUNT, Dialog, Done, HOME, SIGN_IN, SIGN_UP, with_next};
use app::server_fns::account::{ChangePassword, DeleteAccount, SignIn, SignOut, SignOutEverywhere, SignUp};
use app::server_fns::keys::{
    CreateKey, DeleteKey, RefreshKey, RenameKey, RetireKey, RotateKey, SetKeyActive,
};
use app::submission::{Submission, Typed};
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

/// Those of Settings → Account.
const OF_ACCOUNT: [&str; 3] = [ChangePassword::PATH, SignOutEverywhere::PATH, DeleteAccount::PATH];

/// Those that answer with a secret.
const REVEALING: [&str; 2] = [CreateKey::PATH, RotateKey::PATH];

const FORM: &str = "application/x-www-form-urlencoded";

/// `pages` has the server functions and the pages; this stands before it.
pub(crate) fn router(pages: Router) -> Router {
    Router::new().route("/rpc/{*function}", post(run).get(redirect_to_form)).with_state(pages)
}

/// Somebody whose browser still shows the address of a form that was sent, and asks for it.
async fn redirect_to_form(State(pages): State<Router>, request: Request) -> Response {
    if ACTIONS.contains(&request.uri().path()) {
        return Redirect::to(&asks_again(request.uri().path(), &Typed::default())).into_response();
    }
    let (parts, _) = request.into_parts();
    not_found(&pages, parts).await
}

async fn not_found(pages: &Router, mut parts: Parts) -> Response {
    parts.method = Method::GET;
    parts.headers.remove(CONTENT_LENGTH);
    answer(pages, Request::from_parts(parts, Body::empty())).await
}

async fn answer(pages: &Router, request: Request) -> Response {
    match pages.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

async fn run(State(pages): State<Router>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    // It is there already; its size is limited.
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
    let answer = match call(&pages, &parts, body.clone()).await {
        Ok(answer) => answer,
        Err(response) => return response,
    };
    let shows_secret = answer.is_ok() && REVEALING.contains(&parts.uri.path());
    let mut response = if wants_page { page(&pages, parts, &body, answer).await } else { json(answer) };
    if shows_secret {
        response.extensions_mut().insert(ShowsSecret);
    }
    response
}

/// What a server function answered: its JSON, or why not.
type ActionResult = Result<Bytes, Refusal>;

async fn call(pages: &Router, parts: &Parts, body: Bytes) -> Result<ActionResult, Response> {
    let response = answer(pages, Request::from_parts(parts.clone(), Body::from(body))).await;
    let status = response.status();
    let body = to_bytes(response.into_body(), usize::MAX).await.map_err(|_| internal())?;
    if status.is_success() {
        return Ok(Ok(body));
    }
    serde_json::from_slice::<Refusal>(&body).map(Err).map_err(|error| {
        tracing::error!(%error, "a server function failed in an unknown way");
        internal()
    })
}

fn json(answer: ActionResult) -> Response {
    match answer {
        Ok(body) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
        Err(refusal) => {
            let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut response = (status, Json(&refusal)).into_response();
            tell_when_to_retry(&mut response, &refusal);
            response
        }
    }
}

async fn page(pages: &Router, parts: Parts, body: &Bytes, answer: ActionResult) -> Response {
    let typed = typed(body);
    let path = parts.uri.path().to_owned();
    match answer {
        Ok(body) if REVEALING.contains(&path.as_str()) => match serde_json::from_slice(&body) {
            Ok(list) => reveal(pages, parts, list).await,
            Err(_) => internal(),
        },
        Ok(body) => Redirect::to(&follows(&path, &typed, &body)).into_response(),
        Err(refusal) if refusal.status == StatusCode::UNAUTHORIZED && path != SignIn::PATH => {
            Redirect::to(&with_next(SIGN_IN, &asks_again(&path, &typed))).into_response()
        }
        Err(refusal) => {
            let address = asks_again(&path, &typed);
            let submission = Submission { typed, outcome: Err(refusal.clone()) };
            let mut response = render(pages, parts, &address, submission).await;
            tell_when_to_retry(&mut response, &refusal);
            response
        }
    }
}

/// The page that shows a new key's secret, this once.
async fn reveal(pages: &Router, parts: Parts, list: KeyList) -> Response {
    let submission = Submission { typed: Typed::default(), outcome: Ok(list) };
    render(pages, parts, &Dialog::Generate.href(), submission).await
}

/// Renders the page at `address` for somebody who sent a form.
async fn render(pages: &Router, mut parts: Parts, address: &str, submission: Submission) -> Response {
    let Ok(uri) = address.parse::<Uri>() else { return internal() };
    parts.method = Method::GET;
    parts.uri = uri;
    parts.headers.remove(CONTENT_TYPE);
    parts.headers.remove(CONTENT_LENGTH);
    parts.extensions.insert(submission);
    answer(pages, Request::from_parts(parts, Body::empty())).await
}

/// The address to go to once a form was taken.
fn follows(path: &str, typed: &Typed, answer: &[u8]) -> String {
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
        // Accounts answer with the path themselves.
        return serde_json::from_slice(answer).unwrap_or_else(|_| HOME.to_owned());
    };
    done.href(HOME)
}

/// The address of the page that asks again for what was refused.
fn asks_again(path: &str, typed: &Typed) -> String {
    let key = typed.get("key_id").and_then(KeyId::parse);
    let dialog = match key {
        _ if path == SignIn::PATH || path == SignOut::PATH => return SIGN_IN.to_owned(),
        _ if path == SignUp::PATH => return SIGN_UP.to_owned(),
        _ if OF_ACCOUNT.contains(&path) => return ACCOUNT.to_owned(),
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

/// What was typed, without passwords: no page gives one back.
fn typed(body: &[u8]) -> Typed {
    let fields: Vec<(String, String)> = serde_urlencoded::from_bytes(body).unwrap_or_default();
    Typed(fields.into_iter().filter(|(name, _)| !Field::is_password(name)).collect())
}

fn internal() -> Response {
    ApiProblem::Internal.into_response()
}

fn tell_when_to_retry(response: &mut Response, refusal: &Refusal) {
    if refusal.retry_after > 0 {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(refusal.retry_after));
    }
}
