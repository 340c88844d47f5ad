//! The cookie that carries a session.

use crate::services::sessions;
use crate::state::AppState;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::http::header::SET_COOKIE;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use std::sync::Arc;
use tower::ServiceExt;
use tower_sessions::SessionManagerLayer;
use tower_sessions::cookie::SameSite;

/// Gives the routes of `browsers` their sessions. On an origin that is neither encrypted nor local a browser
/// takes no `Secure` cookie; there, and only there, the cookie goes without.
pub(crate) fn router(console: Arc<AppState>, browsers: &Router) -> Router {
    let with_sessions = |is_secure: bool| {
        // `__Host-`: this host only, whole site, and only over a connection that nobody else can write to.
        let layer = SessionManagerLayer::new(console.sessions.clone())
            .with_name(if is_secure { "__Host-session" } else { "session" })
            .with_secure(is_secure)
            .with_http_only(true)
            .with_same_site(SameSite::Lax)
            .with_expiry(sessions::cookie_lifetime());
        browsers.clone().layer(layer)
    };
    let state =
        Cookies { secure: with_sessions(true), plain: with_sessions(false), console: Arc::clone(&console) };
    Router::new().fallback(choose).with_state(state).layer(from_fn(mend_removal_cookies))
}

#[derive(Clone)]
struct Cookies {
    secure: Router,
    plain: Router,
    console: Arc<AppState>,
}

async fn choose(State(cookies): State<Cookies>, request: Request) -> Response {
    let origin = cookies.console.origin_of(request.extensions(), request.headers());
    let browsers = if origin.is_secure_context() { cookies.secure } else { cookies.plain };
    match browsers.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// A cookie whose name begins with `__Host-` is taken, and taken back, only with `Secure` and `Path=/`; the
/// session layer leaves the attribute out when it takes one back.
async fn mend_removal_cookies(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let cookies: Vec<HeaderValue> = response.headers().get_all(SET_COOKIE).iter().cloned().collect();
    response.headers_mut().remove(SET_COOKIE);
    for cookie in cookies {
        response.headers_mut().append(SET_COOKIE, mended(&cookie).unwrap_or(cookie));
    }
    response
}

/// `None` if there is nothing to mend.
fn mended(cookie: &HeaderValue) -> Option<HeaderValue> {
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
