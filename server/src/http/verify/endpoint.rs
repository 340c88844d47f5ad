//! `/verify`, any method: whether a gateway may forward a request. The response never has a body: gateways do not read
//! it, and nginx opens a new connection for each response that has one.
//!
//! Gateways call it for every request to the services behind them. On the main listener it is a route without layers,
//! which are for browsers. [`VerifyService`](crate::http::verify::service::VerifyService) serves the listeners for
//! gateways without a router.

use crate::http::middleware::client_ip::{Peer, TrustedProxies};
use crate::http::problem::{ApiProblem, GatewayProblems};
use crate::http::verify::credential;
use crate::ids::{hex, hex_digits};
use crate::key_cache::scopes::{OfferedScopes, RequiredScopes};
use crate::key_cache::verifier::{AllowedKey, Requirement};
use crate::metrics::VERIFICATIONS_PER_SAMPLE;
use crate::state::AppState;
use app::domain::timestamp::Timestamp;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, HeaderName, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::any;
use futures::future::{BoxFuture, Either};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::cell::Cell;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Modules that are closed to keys, by their names in the `module` parameter.
const CLOSED_MODULES: [&str; 3] = ["accounts", "users", "authentication"];

/// Names of parameters that deny every key, in any case: they are probably meant to be `scope`.
const MISSPELT: [&str; 4] = ["scope", "scopes", "required_scope", "x-required-scope"];

/// The route for the main listener. Envoy appends the path of the original request.
pub(crate) fn router(state: Arc<AppState>, proxies: Arc<TrustedProxies>) -> Router {
    let endpoint = any(respond_to);
    Router::new()
        .route("/verify", endpoint.clone())
        .route("/verify/", endpoint.clone())
        .route("/verify/{*path}", endpoint)
        .with_state((state, proxies))
}

async fn respond_to(
    State((state, proxies)): State<(Arc<AppState>, Arc<TrustedProxies>)>,
    request: Request,
) -> Response {
    let client = proxies.client(Peer::of(&request), request.headers()).address;
    match verify(&state, &request, client) {
        Either::Left(response) => response,
        Either::Right(response) => response.await,
    }
}

/// Returns true for `/verify` and all paths below it.
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

/// Verify a request
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
        ("scope" = Option<String>, Query,
         description = "The scopes that the key must have, separated by spaces"),
        ("X-Required-Scope" = Option<String>, Header,
         description = "The same, for gateways that cannot set the query; with both, the key must have all of them"),
    ),
    responses(
        (status = 204, description = "The request is allowed; 200 at /verify/ and any path below, for Envoy",
         headers(
             ("X-Key-Id" = String, description = "The Key ID"),
             ("X-Key-Name" = String, description = "The name of the key, percent-encoded"),
             ("X-Account-Id" = String, description = "The account that owns the key"),
             ("X-Mecha-Id" = String, description = "The Mecha that owns the key; absent if the account does"),
             ("X-Mecha-Name" = String, description = "The name of that Mecha, percent-encoded"),
             ("X-Key-Scopes" = String,
              description = "The scopes of the key, separated by spaces; absent if it has access to everything"),
             ("X-Key-Expires-At" = String,
              description = "When the presented secret expires, in RFC 3339; absent if it does not"),
         )),
        GatewayProblems
    ),
    extensions(("x-response-example" = json!("204 No Content\n\
        X-Key-Id: 019aa1c2f3e47b5c8d9e0f1a2b3c4d5e\n\
        X-Key-Name: CI%2FCD%20Pipeline\n\
        X-Account-Id: 019aa1b0c4d57e6f8a9b0c1d2e3f4a5b\n\
        X-Key-Expires-At: 2027-02-22T10:32:05Z"))),
    security(("bearer" = []))
)]
async fn describe() {}

/// Returns the response, or a future of it if [`credential::verify`] returns a future. Times a sample of all
/// verifications.
pub(crate) fn verify<B>(
    state: &AppState,
    request: &Request<B>,
    client: IpAddr,
) -> Either<Response, BoxFuture<'static, Response>> {
    let began = is_sampled().then(Instant::now);
    let response = verify_untimed(state, request, client);
    if let Some(began) = began {
        state.metrics.record_verification(began.elapsed());
    }
    response
}

/// Returns true for one in [`VERIFICATIONS_PER_SAMPLE`] verifications of this thread.
fn is_sampled() -> bool {
    thread_local! {
        static COUNT: Cell<u32> = const { Cell::new(0) };
    }
    COUNT.with(|count| count.replace(count.get().wrapping_add(1))).is_multiple_of(VERIFICATIONS_PER_SAMPLE)
}

fn verify_untimed<B>(
    state: &AppState,
    request: &Request<B>,
    client: IpAddr,
) -> Either<Response, BoxFuture<'static, Response>> {
    let scopes = &state.verifier.scopes;
    let requirement = requirement(scopes, request);
    let success = success_status(request.uri().path());
    match credential::verify(state, request.headers(), client, requirement) {
        Either::Left(verification) => Either::Left(respond(verification, success, scopes, requirement)),
        Either::Right(verification) => {
            let scopes = Arc::clone(scopes);
            Either::Right(Box::pin(async move { respond(verification.await, success, &scopes, requirement) }))
        }
    }
}

fn respond(
    verification: Result<AllowedKey, ApiProblem>,
    success: StatusCode,
    scopes: &OfferedScopes,
    requirement: Requirement,
) -> Response {
    match verification {
        Ok(key) => allowed(&key, success),
        Err(ApiProblem::InsufficientScope) => insufficient_scope(&scopes.names(requirement.scopes)),
        Err(problem) => problem.without_body(),
    }
}

/// The response to a request whose key lacks a scope, or that is for a closed module. `required` are the offered scopes
/// that the gateway requires.
fn insufficient_scope(required: &str) -> Response {
    let mut response = ApiProblem::InsufficientScope.without_body();
    if !required.is_empty()
        && let Some(challenge) = response.headers().get(WWW_AUTHENTICATE).and_then(|it| it.to_str().ok())
        // A scope token contains no quotation mark and no backslash.
        && let Ok(challenge) = HeaderValue::try_from(format!("{challenge}, scope=\"{required}\""))
    {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// What the gateway requires of the key. Whatever cannot be understood denies every key.
fn requirement<B>(offered: &OfferedScopes, request: &Request<B>) -> Requirement {
    // Below /verify/, the query is that of the client's request, which Envoy appends.
    let is_own_query = matches!(request.uri().path(), "/verify" | "/verify/");
    let of_query = request.uri().query().filter(|query| is_own_query && !query.is_empty());
    let of_query = of_query.map_or_else(Requirement::default, |query| requirement_of_query(offered, query));
    Requirement { scopes: of_query.scopes.and(required_by_header(offered, request.headers())), ..of_query }
}

fn requirement_of_query(offered: &OfferedScopes, query: &str) -> Requirement {
    let Ok(pairs) = serde_urlencoded::from_str::<Vec<(String, String)>>(query) else {
        return Requirement { is_closed: true, ..Requirement::default() };
    };
    // Probably meant to be `scope`: a mistake must not open a route.
    if pairs
        .iter()
        .any(|(name, _)| name != "scope" && MISSPELT.iter().any(|it| name.eq_ignore_ascii_case(it)))
    {
        return Requirement { scopes: RequiredScopes::IMPOSSIBLE, ..Requirement::default() };
    }
    let values = |name| pairs.iter().filter(move |(of, _)| of == name).map(|(_, value)| value.as_str());
    Requirement {
        is_closed: values("module").any(is_closed),
        scopes: required_once(offered, values("scope")),
    }
}

fn required_by_header(offered: &OfferedScopes, headers: &HeaderMap) -> RequiredScopes {
    // A value that is not ASCII is parsed as an empty scope, which denies every key.
    let values = headers.get_all(REQUIRED_SCOPE).iter().map(|value| value.to_str().unwrap_or_default());
    required_once(offered, values)
}

/// The scopes that a parameter or a header requires, which may occur once.
fn required_once<'v>(offered: &OfferedScopes, mut values: impl Iterator<Item = &'v str>) -> RequiredScopes {
    match (values.next(), values.next()) {
        (None, _) => RequiredScopes::default(),
        (Some(value), None) => offered.parse(value),
        (Some(_), Some(_)) => RequiredScopes::IMPOSSIBLE,
    }
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
const MECHA_ID: HeaderName = HeaderName::from_static("x-mecha-id");
const MECHA_NAME: HeaderName = HeaderName::from_static("x-mecha-name");
const KEY_SCOPES: HeaderName = HeaderName::from_static("x-key-scopes");
const REQUIRED_SCOPE: HeaderName = HeaderName::from_static("x-required-scope");

/// The response to an allowed request: no body, and the identity of the key in headers that the gateway may forward.
fn allowed(key: &AllowedKey, status: StatusCode) -> Response {
    // These values share one allocation: a verification spends most of its own time on allocations.
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
    let mut headers = HeaderMap::with_capacity(
        5 + if key.mecha.is_some() { 2 } else { 0 } + usize::from(key.scopes.is_some()),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for (name, range) in [KEY_ID, KEY_NAME, ACCOUNT_ID, KEY_EXPIRES_AT].into_iter().zip(ranges) {
        if !range.is_empty()
            && let Ok(value) = HeaderValue::from_maybe_shared(values.slice(range))
        {
            headers.insert(name, value);
        }
    }
    if let Some(mecha) = &key.mecha {
        let name = utf8_percent_encode(&mecha.name, NON_ALPHANUMERIC).to_string();
        for (name, value) in [(MECHA_ID, hex(&mecha.id)), (MECHA_NAME, name)] {
            if let Ok(value) = HeaderValue::from_maybe_shared(Bytes::from(value)) {
                headers.insert(name, value);
            }
        }
    }
    if let Some(scopes) = &key.scopes {
        // Without the header, the key would seem to have access to everything.
        // Gateways remove a blank one.
        let Some(value) = HeaderValue::from_str(scopes).ok().filter(|_| !scopes.trim().is_empty()) else {
            return ApiProblem::Internal.without_body();
        };
        headers.insert(KEY_SCOPES, value);
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

    fn is_closed_by(query: &str) -> bool {
        requirement_of_query(&OfferedScopes::default(), query).is_closed
    }

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
            assert!(is_closed_by(query), "{query}");
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
            assert!(!is_closed_by(query), "{query}");
        }
    }
}
