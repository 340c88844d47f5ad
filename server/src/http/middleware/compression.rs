//! Compresses responses to browsers, except files and those that show a secret.

use axum::http::{Extensions, HeaderMap, StatusCode, Version};
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{And, DefaultPredicate, Predicate};

/// Marks a response that must not be compressed, in its extensions: a file of the site, or a response that shows a
/// secret, whose compressed length would reveal the secret to an attacker who controls other parts of the response
/// (BREACH, CVE-2013-3587).
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotCompressed;

type MayCompress = fn(StatusCode, Version, &HeaderMap, &Extensions) -> bool;

/// Compresses responses, except those that are marked.
pub(crate) fn layer() -> CompressionLayer<And<DefaultPredicate, MayCompress>> {
    let may_compress: MayCompress = |_, _, _, extensions| extensions.get::<NotCompressed>().is_none();
    CompressionLayer::new().compress_when(DefaultPredicate::new().and(may_compress))
}
