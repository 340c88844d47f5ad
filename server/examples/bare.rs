//! A bare axum server for `make bench`. Its responses have the same shape as those of `/verify`, but it verifies
//! nothing.
//!
//!     bare ADDRESS:PORT [FILE]
//!
//! If FILE is given, `/page` returns its content as of the first request.

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{Html, IntoResponse};
use axum::routing::any;
use std::error::Error;
use std::sync::{Arc, LazyLock};

const ID: &str = "0193e4f2c1d47a3b9c5d6e7f80912a3b";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address = arguments.next().ok_or("usage: bare ADDRESS:PORT [FILE]")?;
    let file = arguments.next().unwrap_or_default();
    let page = Arc::new(LazyLock::new(move || Bytes::from(std::fs::read(&file).unwrap_or_default())));
    let router = Router::new()
        .route("/hit", any(hit))
        .route("/miss", any(miss))
        .route("/page", any(async move || Html(Bytes::clone(&page))))
        // The upstream of `bare_proxy`.
        .route("/v1/trigger/{action}", any(async |body: Bytes| body))
        .route("/", any(async || "ok"));
    axum::serve(tokio::net::TcpListener::bind(address).await?, router).await?;
    Ok(())
}

async fn hit() -> impl IntoResponse {
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (HeaderName::from_static("x-key-id"), ID),
        (HeaderName::from_static("x-key-name"), "Service%20123456"),
        (HeaderName::from_static("x-account-id"), ID),
        (HeaderName::from_static("x-key-expires-at"), "2036-11-18T12:00:00Z"),
    ];
    (StatusCode::NO_CONTENT, headers)
}

async fn miss() -> impl IntoResponse {
    let challenge = r#"Bearer realm="mecha-console", error="invalid_token""#;
    (StatusCode::UNAUTHORIZED, [(header::CACHE_CONTROL, "no-store"), (header::WWW_AUTHENTICATE, challenge)])
}
