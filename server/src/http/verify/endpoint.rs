//! `/verify`, any method: whether a gateway is to let a request through. Never a body, whatever the answer:
//! gateways do not read it, and nginx opens a new connection for each one.
//!
//! It is asked for every request that anybody makes of whatever is protected here, so it stands before the router
//! and its layers, which are for browsers: see [`super::front`].

use crate::http::problem::{ApiProblem, GatewayRefusals};
use crate::http::verify::credential;
use crate::ids::hex_digits;
use crate::key_cache::verifier::AllowedKey;
use crate::state::AppState;
use app::domain::timestamp::Timestamp;
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, HeaderName};
use axum::http::{HeaderMap, HeaderValue, Request, StatusCode};
use axum::response::Response;
use futures::future::{BoxFuture, Either};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Modules that are closed to keys, by the names that gateways ask with.
const CLOSED_MODULES: [&str; 3] = ["accounts", "users", "authentication"];

/// The path that gateways request. Envoy appends the path of the original request.
pub(crate) fn is_verify_path(path: &str) -> bool {
    path.strip_prefix("/verify").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The status of an allowed request. Envoy's HTTP `ext_authz` accepts 200 and no other; it is the one gateway that
/// requests a path below `/verify`.
fn success_status(path: &str) -> StatusCode {
    if path == "/verify" { StatusCode::NO_CONTENT } else { StatusCode::OK }
}

/// The description of the operation.
pub(crate) fn operation() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::new().routes(routes!(describe))
}

/// Whether to let a request through
///
/// For gateways, which pass on the headers of the request in question; any method will do. The answer never has a
/// body: 204 and who it is, or the refusal to pass on.
#[utoipa::path(
    method(get, head, options, post, put, patch, delete, trace),
    path = "/verify",
    tag = "Gateways",
    params(
        ("module" = Option<String>, Query,
         description = "What the request is for; accounts, users and authentication are closed to keys"),
    ),
    responses(
        (status = 204, description = "Let it through; 200 at /verify/ and any path below, for Envoy",
         headers(
             ("X-Key-Id" = String, description = "The Key ID"),
             ("X-Key-Name" = String, description = "The name of the key, percent-encoded"),
             ("X-Account-Id" = String, description = "Whose key it is"),
             ("X-Key-Expires-At" = String,
              description = "When what was presented ends, in RFC 3339; absent if it does not"),
         )),
        GatewayRefusals
    ),
    security(("bearer" = []))
)]
async fn describe() {}

/// Answers at once, but for what [`credential::verify`] waits for.
pub(crate) fn verify<B>(
    console: &AppState,
    request: &Request<B>,
    client: IpAddr,
) -> Either<Response, BoxFuture<'static, Response>> {
    let is_closed = request.uri().query().is_some_and(names_closed_module);
    let success = success_status(request.uri().path());
    match credential::verify(console, request.headers(), client, is_closed) {
        Either::Left(answer) => Either::Left(answered(answer, success)),
        Either::Right(answer) => Either::Right(Box::pin(async move { answered(answer.await, success) })),
    }
}

fn answered(answer: Result<AllowedKey, ApiProblem>, success: StatusCode) -> Response {
    answer.map_or_else(ApiProblem::without_body, |admitted| allowed(&admitted, success))
}

/// Whatever else the query says, and however it is written.
fn names_closed_module(query: &str) -> bool {
    // What cannot be read might name one.
    let Ok(pairs) = serde_urlencoded::from_str::<Vec<(String, String)>>(query) else { return true };
    pairs.iter().any(|(name, value)| name == "module" && is_closed(value))
}

/// Envoy appends the client's path to its prefix: `module=accounts/v1/chat` names the module accounts.
fn is_closed(value: &str) -> bool {
    let value = value.trim();
    let module = value
        .find(|c: char| !c.is_alphanumeric() && !matches!(c, '-' | '_'))
        .and_then(|end| value.get(..end))
        .unwrap_or(value);
    CLOSED_MODULES.iter().any(|closed| module.eq_ignore_ascii_case(closed))
}

const KEY_ID: HeaderName = HeaderName::from_static("x-key-id");
const KEY_NAME: HeaderName = HeaderName::from_static("x-key-name");
const ACCOUNT_ID: HeaderName = HeaderName::from_static("x-account-id");
const KEY_EXPIRES_AT: HeaderName = HeaderName::from_static("x-key-expires-at");

/// No body, and the identity of the key in headers: for the gateway to pass on.
fn allowed(key: &AllowedKey, status: StatusCode) -> Response {
    // All values in one piece of memory: allocations are what a verification spends most of its own time on.
    let mut values = Vec::with_capacity(2 * 32 + 20 + 3 * key.name.len());
    let ends = [
        write(&mut values, |values| values.extend_from_slice(&hex_digits(&key.key))),
        write(&mut values, |values| {
            utf8_percent_encode(&key.name, NON_ALPHANUMERIC)
                .for_each(|part| values.extend_from_slice(part.as_bytes()));
        }),
        write(&mut values, |values| values.extend_from_slice(&hex_digits(&key.account))),
        write(&mut values, |values| {
            values.extend_from_slice(key.until.map(Timestamp::rfc3339).unwrap_or_default().as_bytes());
        }),
    ];
    let values = Bytes::from(values);
    let mut headers = HeaderMap::with_capacity(5);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, value) in [KEY_ID, KEY_NAME, ACCOUNT_ID, KEY_EXPIRES_AT].into_iter().zip(ends) {
        if !value.is_empty()
            && let Ok(value) = HeaderValue::from_maybe_shared(values.slice(value))
        {
            headers.insert(name, value);
        }
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Where what is written stands.
fn write(values: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
    let start = values.len();
    value(values);
    start..values.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_module_is_recognised_however_it_is_written() {
        for query in [
            "module=accounts",
            "a=b&module=Users",
            "module=%61uthentication",
            "module=chat&module=accounts",
            "module=accounts/v1/chat",
            "module=users%2Fv1",
            "module=accounts/v1/chat?module=chat",
            "module=accounts*",
        ] {
            assert!(names_closed_module(query), "{query}");
        }
        for query in [
            "",
            "module=chat",
            "module=",
            "accounts",
            "modules=accounts",
            "module=chat/accounts",
            "module=accountsx",
        ] {
            assert!(!names_closed_module(query), "{query}");
        }
    }
}
