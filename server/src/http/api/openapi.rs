//! The OpenAPI 3.1 document.

use super::endpoints::{closed_to_keys, open_to_keys};
use crate::http::verify::endpoint;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme,
};
use utoipa::openapi::{Components, Info, OpenApi};

/// The ways to present a key in one header, by their names in the OpenAPI document.
pub const KEY_SCHEMES: [&str; 3] = ["bearer", "x-api-key", "basic"];
/// The way to present a key in two headers, Key ID and secret, by their names in the OpenAPI document.
pub const PAIR_SCHEMES: [&str; 2] = ["x-api-key-id", "x-api-key-secret"];
/// The session of an owner, by its name in the OpenAPI document.
pub const SESSION_SCHEME: &str = "session";

/// The OpenAPI 3.1 document of all operations, including `/verify`.
#[must_use]
pub fn description() -> OpenApi {
    let mut description = OpenApi::new(
        Info::builder()
            .title("Mecha Console")
            .version(env!("CARGO_PKG_VERSION"))
            .description(Some("Verifies API keys, and returns the key of a request."))
            .build(),
        utoipa::openapi::Paths::new(),
    );
    for router in [open_to_keys(), endpoint::operation(), closed_to_keys()] {
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
    // Operations state only `bearer`. Those that accept it accept the other ways, too, which are added here.
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

pub(crate) fn requirement(schemes: &[&str]) -> SecurityRequirement {
    schemes.iter().fold(SecurityRequirement::default(), |all, name| all.add(*name, Vec::<String>::new()))
}
