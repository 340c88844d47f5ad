//! Compresses responses to browsers, except those that show a secret.

use axum::http::{Extensions, HeaderMap, StatusCode, Version};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{And, DefaultPredicate, Predicate};

/// Marks a response that shows a secret, in its extensions. It must not be compressed: its compressed length would
/// reveal the secret to an attacker who controls other parts of the response (BREACH, CVE-2013-3587).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShowsSecret;

type WithoutSecret = fn(StatusCode, Version, &HeaderMap, &Extensions) -> bool;

/// Compresses responses, except those that show a secret and those that are compressed already, as the site's files
/// are.
pub(crate) fn layer() -> CompressionLayer<And<DefaultPredicate, WithoutSecret>> {
    let without_secret: WithoutSecret = |_, _, _, extensions| extensions.get::<ShowsSecret>().is_none();
    CompressionLayer::new().compress_when(DefaultPredicate::new().and(without_secret))
}
