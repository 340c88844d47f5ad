//! `/api/v1`: HTTP for programs.
//!
//! Each operation is registered with its description (OpenAPI 3.1), and the description says in `security`
//! who may call it. What says nothing is found by a test that walks all of them.

mod key;
mod owner;
mod reference;

use crate::http::problem::ApiProblem;
use crate::state::AppState;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get};
use axum::{Json, Router};
use std::sync::Arc;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Components, Info, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use reference::operations;

/// Operations that a key may call.
fn open_to_keys() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::new().routes(routes!(key::show))
}

/// Operations that the session of an owner may call about itself, and no key.
fn closed_to_keys() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::new()
        .routes(routes!(owner::account))
        .routes(routes!(owner::user))
        .routes(routes!(owner::sessions))
}

/// What programs call.
pub(crate) fn programs() -> Router<Arc<AppState>> {
    let document = get(async || Json(description()));
    Router::from(open_to_keys()).route("/api/v1/openapi.json", document)
}

/// What owners call; it needs their sessions around it.
pub(crate) fn owners(console: Arc<AppState>) -> Router {
    let not_found = any(async || ApiProblem::NotFound);
    Router::from(closed_to_keys())
        .route_layer(from_fn_with_state(Arc::clone(&console), owner::refuse_keys))
        .route("/api", not_found.clone())
        .route("/api/{*path}", not_found)
        .with_state(console)
}

/// The ways of presenting a key, by their names in the description.
pub const KEY_SCHEMES: [&str; 3] = ["bearer", "x-api-key", "basic"];
/// The way of presenting the two halves of a key in a header each.
pub const PAIR_SCHEMES: [&str; 2] = ["x-api-key-id", "x-api-key-secret"];
/// The session of an owner.
pub const SESSION_SCHEME: &str = "session";

/// All operations (OpenAPI 3.1), with the gateways' one.
#[must_use]
pub fn description() -> OpenApi {
    let mut description = OpenApi::new(
        Info::builder()
            .title("Mecha Console")
            .version(env!("CARGO_PKG_VERSION"))
            .description(Some("Validates API keys, and tells a key about itself."))
            .build(),
        utoipa::openapi::Paths::new(),
    );
    for router in [open_to_keys(), super::verify::endpoint::operation(), closed_to_keys()] {
        description.merge(router.into_openapi());
    }
    let components = description.components.get_or_insert_with(Components::new);
    let header = |name: &str| SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new(name)));
    let http = |scheme| SecurityScheme::Http(HttpBuilder::new().scheme(scheme).build());
    let cookie = SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::new("__Host-session")));
    for (name, scheme) in [
        ("bearer", http(HttpAuthScheme::Bearer)),
        ("basic", http(HttpAuthScheme::Basic)),
        ("x-api-key", header("X-Api-Key")),
        ("x-api-key-id", header("X-Api-Key-Id")),
        ("x-api-key-secret", header("X-Api-Key-Secret")),
        (SESSION_SCHEME, cookie),
    ] {
        components.add_security_scheme(name, scheme);
    }
    // Written once here rather than at each operation: whatever takes a bearer takes the other ways too.
    for item in description.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.delete,
            &mut item.patch,
            &mut item.head,
            &mut item.options,
            &mut item.trace,
        ];
        for security in operations.into_iter().flatten().filter_map(|operation| operation.security.as_mut()) {
            if security.contains(&requirement(&["bearer"])) {
                *security = KEY_SCHEMES.iter().map(|name| requirement(&[name])).collect();
                security.push(requirement(&PAIR_SCHEMES));
            }
        }
    }
    description
}

fn requirement(schemes: &[&str]) -> SecurityRequirement {
    schemes.iter().fold(SecurityRequirement::default(), |all, name| all.add(*name, Vec::<String>::new()))
}
