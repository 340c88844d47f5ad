//! `/verify`, any method: whether a gateway may forward a request. The response never has a body: gateways do not read
//! it, and nginx opens a new connection for each response that has one.
//!
//! Gateways call it for every request to the services behind them. It therefore bypasses the router and its layers,
//! which are for browsers: see [`crate::http::dispatch`].

use crate::http::problem::{ApiProblem, GatewayProblems};
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

/// Modules that are closed to keys, by their names in the `module` parameter.
const CLOSED_MODULES: [&str; 3] = ["accounts", "users", "authentication"];

/// The path that gateways request. Envoy appends the path of the original request.
pub(crate) fn is_verify_path(path: &str) -> bool {
    path.strip_prefix("/verify").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The status of an allowed request. Envoy's HTTP `ext_authz` accepts only 200. It is the only gateway that
/// requests a path below `/verify`.
fn success_status(path: &str) -> StatusCode {
    if path == "/verify" { StatusCode::NO_CONTENT } else { StatusCode::OK }
}

/// The operation, for the OpenAPI document.
pub(crate) fn operation() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::new().routes(routes!(describe))
}

/// Whether a request is allowed
///
/// For gateways. They send the headers of the request in question, with any method. The response never has a body: it
/// is 204 with the identity of the key, or a problem that the gateway returns to its client.
#[utoipa::path(
    method(get, head, options, post, put, patch, delete, trace),
    path = "/verify",
    tag = "Gateways",
    params(
        ("module" = Option<String>, Query,
         description = "The module that the request is for; accounts, users and authentication are closed to keys"),
    ),
    responses(
        (status = 204, description = "The request is allowed; 200 at /verify/ and any path below, for Envoy",
         headers(
             ("X-Key-Id" = String, description = "The Key ID"),
             ("X-Key-Name" = String, description = "The name of the key, percent-encoded"),
             ("X-Account-Id" = String, description = "The account that owns the key"),
             ("X-Key-Expires-At" = String,
              description = "When the presented secret expires, in RFC 3339; absent if it does not"),
         )),
        GatewayProblems
    ),
    security(("bearer" = []))
)]
async fn describe() {}

/// Returns the response, or a future of it if [`credential::verify`] returns a future.
pub(crate) fn verify<B>(
    state: &AppState,
    request: &Request<B>,
    client: IpAddr,
) -> Either<Response, BoxFuture<'static, Response>> {
    // Below /verify/, the query is that of the client's request, which Envoy appends.
    let is_own_query = matches!(request.uri().path(), "/verify" | "/verify/");
    let is_closed = is_own_query && request.uri().query().is_some_and(names_closed_module);
    let success = success_status(request.uri().path());
    match credential::verify(state, request.headers(), client, is_closed) {
        Either::Left(verification) => Either::Left(respond(verification, success)),
        Either::Right(verification) => {
            Either::Right(Box::pin(async move { respond(verification.await, success) }))
        }
    }
}

fn respond(verification: Result<AllowedKey, ApiProblem>, success: StatusCode) -> Response {
    verification.map_or_else(ApiProblem::without_body, |key| allowed(&key, success))
}

/// Returns true if any `module` parameter of the query names a closed module, in any spelling.
fn names_closed_module(query: &str) -> bool {
    // A query that cannot be parsed might name one.
    let Ok(pairs) = serde_urlencoded::from_str::<Vec<(String, String)>>(query) else { return true };
    pairs.iter().any(|(name, value)| name == "module" && is_closed(value))
}

/// Envoy appends the client's path to its prefix: `module=accounts/v1/chat` names the module `accounts`.
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

/// The response to an allowed request: no body, and the identity of the key in headers that the gateway may forward.
fn allowed(key: &AllowedKey, status: StatusCode) -> Response {
    // All values share one allocation: a verification spends most of its own time on allocations.
    let mut values = Vec::with_capacity(2 * 32 + 20 + 3 * key.name.len());
    let ranges = [
        append(&mut values, |values| values.extend_from_slice(&hex_digits(&key.key))),
        append(&mut values, |values| {
            utf8_percent_encode(&key.name, NON_ALPHANUMERIC)
                .for_each(|part| values.extend_from_slice(part.as_bytes()));
        }),
        append(&mut values, |values| values.extend_from_slice(&hex_digits(&key.account))),
        append(&mut values, |values| {
            values.extend_from_slice(key.until.map(Timestamp::rfc3339).unwrap_or_default().as_bytes());
        }),
    ];
    let values = Bytes::from(values);
    let mut headers = HeaderMap::with_capacity(5);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, range) in [KEY_ID, KEY_NAME, ACCOUNT_ID, KEY_EXPIRES_AT].into_iter().zip(ranges) {
        if !range.is_empty()
            && let Ok(value) = HeaderValue::from_maybe_shared(values.slice(range))
        {
            headers.insert(name, value);
        }
    }
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Appends a value, and returns its range.
fn append(values: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> Range<usize> {
    let start = values.len();
    write(values);
    start..values.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_module_is_recognised_in_any_spelling() {
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
