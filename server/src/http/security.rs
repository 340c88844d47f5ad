//! What every answer says to a browser, and which requests of a browser are its own page's.

use crate::console::Console;
use app::backend::Backend;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, ORIGIN};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use std::sync::Arc;

/// On every answer, unless the answer says otherwise itself.
const HEADERS: [(HeaderName, &str); 8] = [
    (CACHE_CONTROL, "no-store"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    (HeaderName::from_static("x-content-type-options"), "nosniff"),
    (HeaderName::from_static("x-frame-options"), "DENY"),
    // Not `no-referrer`, with which browsers send `Origin: null` along with forms.
    (HeaderName::from_static("referrer-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), geolocation=(), microphone=(), payment=(), usb=(), clipboard-write=(self)",
    ),
];

/// Sets the headers of every answer (OWASP ASVS 5.0, chapter 3.4).
pub(super) async fn set_headers(
    State(console): State<Arc<Console>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    if console.public_url.as_ref().is_some_and(|origin| origin.is_https) {
        headers
            .entry("strict-transport-security")
            .or_insert(HeaderValue::from_static("max-age=31536000; includeSubDomains"));
    }
    response
}

/// The policy of a page: its own styles and scripts, the one inline script by its nonce, and nothing else
/// (CSP Level 3).
pub(super) fn page_policy(nonce: &str) -> String {
    // `cargo leptos watch` tells the page over a socket of its own that it has changed.
    let watch = if std::env::var_os("LEPTOS_WATCH").is_some() { " ws:" } else { "" };
    format!(
        "default-src 'none'; script-src 'self' 'nonce-{nonce}' 'wasm-unsafe-eval'; style-src 'self'; \
         img-src 'self'; connect-src 'self'{watch}; form-action 'self'; object-src 'none'; base-uri 'none'; \
         frame-ancestors 'none'"
    )
}

/// Lets nothing through that changes state, unless it comes from a page of this very origin.
///
/// Browsers say where a request comes from in `Sec-Fetch-Site`; those that do not, or may not on an
/// origin without encryption, say it in `Origin`. What says neither is no browser, and has no business
/// with these routes (OWASP ASVS 5.0, 3.5.1).
pub(super) async fn require_own_origin(
    State(console): State<Arc<Console>>,
    request: Request,
    next: Next,
) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let is_own = match parts.headers.get("sec-fetch-site") {
        Some(site) => site == "same-origin",
        None => {
            let own = console.origin(&parts);
            parts.headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes() == own.as_bytes())
        }
    };
    if is_own {
        next.run(Request::from_parts(parts, body)).await
    } else {
        tracing::warn!(path = parts.uri.path(), "request of another origin refused");
        (StatusCode::FORBIDDEN, "This request does not come from a page of this console.").into_response()
    }
}
