//! The session cookie.

use crate::services::sessions;
use crate::state::AppState;
use app::routes::SIGN_IN;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderValue, Method};
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use std::sync::Arc;
use tower::ServiceExt;
use tower_sessions::SessionManagerLayer;
use tower_sessions::cookie::SameSite;

/// The name of the cookie: on origins that are encrypted or local, and on others. `__Host-`: the cookie is sent to this
/// host only, for all paths, and can be set only over a secure connection.
const NAMES: [&str; 2] = ["__Host-session", "session"];

/// Adds sessions to the routes of `browsers`. On an origin that is neither encrypted nor local, browsers reject
/// `Secure` cookies. There, and only there, the cookie is set without `Secure`.
pub(crate) fn router(state: Arc<AppState>, browsers: &Router) -> Router {
    let with_sessions = |is_secure: bool| {
        let [secure, plain] = NAMES;
        let layer = SessionManagerLayer::new(state.sessions.clone())
            .with_name(if is_secure { secure } else { plain })
            .with_secure(is_secure)
            .with_http_only(true)
            .with_same_site(SameSite::Lax)
            .with_expiry(sessions::cookie_lifetime());
        browsers.clone().layer(layer)
    };
    let routers = SessionRouters {
        secure: with_sessions(true),
        plain: with_sessions(false),
        state: Arc::clone(&state),
    };
    Router::new().fallback(choose).with_state(routers).layer(from_fn(complete_cookies))
}

/// The name of the session cookie on the origin of a request, in its extensions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CookieName(pub(crate) &'static str);

/// The same routes with each kind of session cookie.
#[derive(Clone)]
struct SessionRouters {
    secure: Router,
    plain: Router,
    state: Arc<AppState>,
}

async fn choose(State(routers): State<SessionRouters>, mut request: Request) -> Response {
    let origin = routers.state.origin_of(request.extensions(), request.headers());
    let [secure, plain] = NAMES;
    let (name, router) =
        if origin.is_secure_context() { (secure, routers.secure) } else { (plain, routers.plain) };
    request.extensions_mut().insert(CookieName(name));
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Adds missing attributes to cookies. Browsers accept the creation and the removal of a `__Host-` cookie only with
/// `Secure` and `Path=/`, and the session layer omits `Secure` when it removes one.
///
/// Only actions and the sign-in page remove the cookie of a session that has ended: while the browser has it, a redirect
/// to the sign-in page can say that the session has ended.
async fn complete_cookies(request: Request, next: Next) -> Response {
    let may_remove = request.method() == Method::POST || request.uri().path() == SIGN_IN;
    let mut response = next.run(request).await;
    let cookies: Vec<HeaderValue> = response.headers().get_all(SET_COOKIE).iter().cloned().collect();
    response.headers_mut().remove(SET_COOKIE);
    for cookie in cookies.into_iter().filter(|cookie| may_remove || !is_removal(cookie)) {
        response.headers_mut().append(SET_COOKIE, completed(&cookie).unwrap_or(cookie));
    }
    response
}

fn is_removal(cookie: &HeaderValue) -> bool {
    cookie.to_str().is_ok_and(|cookie| cookie.contains("Max-Age=0"))
}

/// The cookie with all attributes; `None` if none is missing.
fn completed(cookie: &HeaderValue) -> Option<HeaderValue> {
    let text = cookie.to_str().ok()?;
    let has = |attribute: &str| text.split("; ").any(|part| part.eq_ignore_ascii_case(attribute));
    let lacks_secure = text.starts_with("__Host-") && !has("Secure");
    let lacks_http_only = !has("HttpOnly");
    let missing = [
        lacks_http_only.then_some("; HttpOnly"),
        (!has("SameSite=Lax")).then_some("; SameSite=Lax"),
        lacks_secure.then_some("; Secure"),
    ];
    let missing: String = missing.into_iter().flatten().collect();
    if missing.is_empty() { None } else { HeaderValue::from_str(&format!("{text}{missing}")).ok() }
}
