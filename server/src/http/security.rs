//! What every answer says to a browser, and which requests of a browser are its own page's.

use crate::console::Console;
use app::backend::Backend;
use app::text::misdirected;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, ORIGIN};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
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

/// On a loopback address without `--public-url`, accepts only names of this machine.
///
/// Otherwise any website could let its own name point to this machine (DNS rebinding) and use the console from the
/// browser of whoever visits it, as if it were one of its own pages: to create the first account, for example (OWASP
/// ASVS 5.0, 4.1.3). Requests with a key are exempt: gateways forward their client's `Host`, and a website has no key.
pub(super) async fn require_local_host(
    State(console): State<Arc<Console>>,
    request: Request,
    next: Next,
) -> Response {
    let is_exempt = !console.accepts_local_hosts_only || request.uri().path().starts_with("/api/");
    if is_exempt || request.headers().get(HOST).is_none_or(|host| is_local(host.as_bytes())) {
        return next.run(request).await;
    }
    tracing::warn!(
        "request for another host rejected: browsers reach this console only if --public-url names it"
    );
    (StatusCode::MISDIRECTED_REQUEST, Html(misdirected_page())).into_response()
}

/// `localhost`, `127.0.0.1` or `[::1]`, with any port or none.
fn is_local(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else { return false };
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit());
    let name = host.rsplit_once(':').filter(|(_, port)| is_port(port)).map_or(host, |(name, _)| name);
    ["localhost", "127.0.0.1", "[::1]"].iter().any(|local| name.eq_ignore_ascii_case(local))
}

fn misdirected_page() -> String {
    format!(
        "<!DOCTYPE html><html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{}</title><h1>{0}</h1><p>{}</p><p>{}</p>",
        misdirected::TITLE,
        misdirected::LEAD,
        misdirected::REMEDY
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_this_machine_are_local() {
        for host in ["localhost", "LOCALHOST:3000", "127.0.0.1:8080", "127.0.0.1", "[::1]:3000", "[::1]"] {
            assert!(is_local(host.as_bytes()), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:3000",
            "localhost.evil.example",
            "127.0.0.1.evil.example:3000",
            "localhost:3000@evil.example",
            "localhost:3000:evil",
            "127.0.0.2",
            "::1",
            "",
        ] {
            assert!(!is_local(host.as_bytes()), "{host}");
        }
    }
}
