//! `/verify`, any method: whether a gateway is to let a request through. Never a body, whatever the answer:
//! gateways do not read it, and nginx opens a new connection for each one.
//!
//! It stands outside the layers of the other routes: it is asked for every request that anybody makes of
//! whatever is protected here, and has nothing to do with browsers.

use super::client::TrustedProxies;
use super::credential::{authenticate, caller};
use super::problem::{ApiProblem, GatewayRefusals};
use crate::console::Console;
use crate::verification::{Admitted, hex};
use app::domain::traffic::Reason;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, HeaderName};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Modules that are closed to keys, by the names that gateways ask with.
const CLOSED_MODULES: [&str; 3] = ["accounts", "users", "authentication"];

#[derive(Clone)]
struct Gate {
    console: Arc<Console>,
    proxies: Arc<TrustedProxies>,
}

pub(super) fn router(console: Arc<Console>, proxies: Arc<TrustedProxies>) -> Router {
    // Envoy puts the path of the request in question behind.
    let verify = any(verify);
    Router::new()
        .route("/verify", verify.clone())
        .route("/verify/{*path}", verify)
        .with_state(Gate { console, proxies })
}

/// The description of the operation.
pub(super) fn operation() -> OpenApiRouter<Arc<Console>> {
    OpenApiRouter::new().routes(routes!(describe))
}

/// Whether to let a request through
///
/// For gateways, which pass on the headers of the request in question; any method will do. The answer never has a
/// body: 204 and who it is, or the refusal to pass on.
#[utoipa::path(
    get,
    path = "/verify",
    tag = "Gateways",
    params(
        ("module" = Option<String>, Query,
         description = "What the request is for; accounts, users and authentication are closed to keys"),
    ),
    responses(
        (status = 204, description = "Let it through",
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

async fn verify(State(gate): State<Gate>, request: Request) -> Response {
    let client = gate.proxies.client_of(request.extensions(), request.headers()).address;
    match authenticate(&gate.console, request.headers(), client).await {
        Ok(admitted) if request.uri().query().is_some_and(asks_for_closed_module) => {
            let verifier = &gate.console.keys.verifier;
            verifier.refuse(admitted.key, Reason::ClosedModule, caller(request.headers(), client));
            ApiProblem::InsufficientScope.without_body()
        }
        Ok(admitted) => allowed(&admitted),
        Err(problem) => problem.without_body(),
    }
}

/// Whatever else the query says, and however it is written.
fn asks_for_closed_module(query: &str) -> bool {
    // What cannot be read might name one.
    let Ok(pairs) = serde_urlencoded::from_str::<Vec<(String, String)>>(query) else { return true };
    pairs.iter().any(|(name, module)| {
        name == "module" && CLOSED_MODULES.iter().any(|closed| module.trim().eq_ignore_ascii_case(closed))
    })
}

/// 204, and who it is: for the gateway to pass on.
fn allowed(key: &Admitted) -> Response {
    let mut response = (StatusCode::NO_CONTENT, [(CACHE_CONTROL, "no-store")]).into_response();
    let mut tell = |name, value: String| {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    };
    tell("x-key-id", hex(&key.key));
    tell("x-key-name", utf8_percent_encode(&key.name, NON_ALPHANUMERIC).to_string());
    tell("x-account-id", hex(&key.account));
    if let Some(at) = key.until {
        tell("x-key-expires-at", at.rfc3339());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_module_is_recognised_however_it_is_written() {
        for query in
            ["module=accounts", "a=b&module=Users", "module=%61uthentication", "module=chat&module=accounts"]
        {
            assert!(asks_for_closed_module(query), "{query}");
        }
        for query in ["", "module=chat", "module=", "accounts", "modules=accounts"] {
            assert!(!asks_for_closed_module(query), "{query}");
        }
    }
}
