//! The pages, their server functions, and the files they are made of.

use super::security::page_policy;
use crate::console::Console;
use crate::sessions;
use app::backend::Backend;
use app::error::ConsoleError;
use app::navigation::{HOME, SIGN_IN, SIGN_UP, with_next};
use app::submission::Submission;
use app::text::missing;
use app::{App, shell};
use axum::Router;
use axum::extract::Request;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use leptos::config::LeptosOptions;
use leptos::nonce::use_nonce;
use leptos::prelude::{provide_context, use_context};
use leptos_axum::{LeptosRoutes, ResponseOptions, generate_route_list, render_app_async_with_context};
use std::sync::Arc;
use tower_http::services::ServeDir;

pub(super) fn router(console: Arc<Console>, options: LeptosOptions) -> Router {
    let backend: Arc<dyn Backend> = console;
    let context = move || {
        provide_context(Arc::clone(&backend));
        let (Some(nonce), Some(response)) = (use_nonce(), use_context::<ResponseOptions>()) else { return };
        if let Ok(policy) = HeaderValue::from_str(&page_policy(&nonce)) {
            response.insert_header(CONTENT_SECURITY_POLICY, policy);
        }
    };
    let document = {
        let options = options.clone();
        move || shell(options.clone())
    };
    let not_found = get(render_app_async_with_context(context.clone(), document.clone()));
    let files = ServeDir::new(options.site_root.as_ref())
        .append_index_html_on_directories(false)
        .precompressed_br()
        .precompressed_gzip()
        .fallback(not_found);
    Router::new()
        .route("/", get(async || Redirect::to(HOME)))
        .leptos_routes_with_context(&options, generate_route_list(App), context, document)
        .layer(from_fn(lead_to_the_right_page))
        .fallback_service(files)
        .layer(from_fn(know_no_endless_names))
        .layer(from_fn(cache_what_never_changes))
        .layer(from_fn(drop_trailing_slash))
        .with_state(options)
}

/// Settings are for those who are signed in; the pages to sign in are for those who are not. This only
/// leads people about: whatever shows or changes something asks for the account itself.
async fn lead_to_the_right_page(request: Request, next: Next) -> Response {
    let is_page = request.method() == Method::GET && request.extensions().get::<Submission>().is_none();
    if !is_page {
        return next.run(request).await;
    }
    let path = request.uri().path();
    let is_signed_in = match sessions::signed_in(request.extensions()).await {
        Ok(who) => who.is_some(),
        // The page itself says that the database does not answer.
        Err(ConsoleError::Unavailable) => return next.run(request).await,
        Err(_) => false,
    };
    if path.starts_with("/settings") && !is_signed_in {
        let next = request.uri().path_and_query().map_or(path, |address| address.as_str());
        return Redirect::to(&with_next(SIGN_IN, next)).into_response();
    }
    if matches!(path, SIGN_IN | SIGN_UP) && is_signed_in {
        return Redirect::to(HOME).into_response();
    }
    next.run(request).await
}

/// A page has one address.
async fn drop_trailing_slash(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let trimmed = path.trim_end_matches('/');
    // `//host/` must not become an address elsewhere.
    if trimmed.is_empty() || trimmed.len() == path.len() || path.starts_with("//") {
        return next.run(request).await;
    }
    Redirect::permanent(trimmed).into_response()
}

/// A file system refuses names of more than 255 bytes as an error of its own, which would be told as one of the server.
async fn know_no_endless_names(request: Request, next: Next) -> Response {
    if request.uri().path().split('/').any(|name| name.len() > 255) {
        return (StatusCode::NOT_FOUND, missing::LEAD).into_response();
    }
    next.run(request).await
}

/// Files whose names carry a hash of what is in them never change; others are asked for again.
async fn cache_what_never_changes(request: Request, next: Next) -> Response {
    let is_hashed = request.uri().path().starts_with("/pkg/");
    let is_file = request.uri().path().contains('.');
    let mut response = next.run(request).await;
    if is_file && response.status().is_success() {
        let policy = if is_hashed { "public, max-age=31536000, immutable" } else { "public, no-cache" };
        response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static(policy));
    }
    response
}
