//! Answers to browsers travel compressed, but for those that show a secret.

use axum::http::{Extensions, HeaderMap, StatusCode, Version};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{And, DefaultPredicate, Predicate};

/// In the extensions of an answer that shows a secret. Compressed, its length would publish of the secret to
/// somebody who can choose what else is in it (BREACH, CVE-2013-3587).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShowsSecret;

type WithoutSecret = fn(StatusCode, Version, &HeaderMap, &Extensions) -> bool;

/// Compresses what is not compressed already, as the files of the pages are.
pub(crate) fn layer() -> CompressionLayer<And<DefaultPredicate, WithoutSecret>> {
    let without_secret: WithoutSecret = |_, _, _, extensions| extensions.get::<ShowsSecret>().is_none();
    CompressionLayer::new().compress_when(DefaultPredicate::new().and(without_secret))
}
