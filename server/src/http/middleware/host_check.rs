//! Restricts the `Host` header of requests to a console on a loopback address.

use crate::state::AppState;
use app::text::unknown_host;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::HOST;
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use std::sync::Arc;

/// On a loopback address without `--public-url`, responds with 421 unless `Host` is a name of this machine.
///
/// Otherwise any website could make its own name resolve to this machine (DNS rebinding). In a visitor's browser, the
/// console would then belong to the website's origin, whose scripts could create the first account, for example (OWASP
/// ASVS 5.0, 4.1.3). Paths below `/api/` are exempt: gateways forward their client's `Host`, and a website has no key.
pub(crate) async fn require_local_host(
    State(state): State<Arc<AppState>>,
    request: Request,
    next: Next,
) -> Response {
    let is_exempt = !state.accepts_local_hosts_only || request.uri().path().starts_with("/api/");
    if is_exempt || request.headers().get(HOST).is_none_or(|host| is_local(host.as_bytes())) {
        return next.run(request).await;
    }
    tracing::warn!("request rejected: its Host is not a name of this machine, and --public-url is not set");
    (StatusCode::MISDIRECTED_REQUEST, Html(misdirected_page())).into_response()
}

/// Returns true for `localhost`, `127.0.0.1` and `[::1]`, with any port or none.
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
        unknown_host::TITLE,
        unknown_host::LEAD,
        unknown_host::REMEDY
    )
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
