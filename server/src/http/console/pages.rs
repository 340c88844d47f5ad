//! The pages, their server functions, and the site's files.

use crate::http::api;
use crate::http::console::site_files::SiteFiles;
use crate::http::middleware::compression::NotCompressed;
use crate::http::middleware::security_headers::page_policy;
use crate::http::middleware::session_cookie::CookieName;
use crate::services::sessions;
use crate::state::AppState;
use app::backend::{AccountBackend, ApiReference, KeyBackend, MechaBackend};
use app::error::ConsoleError;
use app::routes::{Done, HOME, MECHAS, SIGN_IN, SIGN_UP, with_next};
use app::view::submission::Submission;
use app::{App, shell};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_SECURITY_POLICY, COOKIE};
use axum::http::{Extensions, HeaderMap, HeaderValue, Method};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use leptos::config::LeptosOptions;
use leptos::nonce::use_nonce;
use leptos::prelude::{provide_context, use_context};
use leptos_axum::{LeptosRoutes, ResponseOptions, generate_route_list, render_app_async_with_context};
use std::sync::Arc;

pub(crate) fn router(state: Arc<AppState>, files: SiteFiles) -> Router {
    let options = LeptosOptions::builder().output_name("mecha-console").build();
    let keys: Arc<dyn KeyBackend> = Arc::new(state.keys.clone());
    let mechas: Arc<dyn MechaBackend> = Arc::new(state.mechas.clone());
    let accounts: Arc<dyn AccountBackend> = state;
    let reference = ApiReference(api::operations().into());
    let context = move || {
        provide_context(Arc::clone(&accounts));
        provide_context(Arc::clone(&keys));
        provide_context(Arc::clone(&mechas));
        provide_context(reference.clone());
        let (Some(nonce), Some(response)) = (use_nonce(), use_context::<ResponseOptions>()) else { return };
        if let Ok(policy) = HeaderValue::from_str(&page_policy(&nonce)) {
            response.insert_header(CONTENT_SECURITY_POLICY, policy);
        }
    };
    let document = {
        let (options, root) = (options.clone(), files.root());
        move || shell(options.clone(), root.clone())
    };
    let not_found = get(render_app_async_with_context(context.clone(), document.clone()));
    Router::new()
        .route("/", get(async || Redirect::to(HOME)))
        .route("/settings", get(async || Redirect::to(HOME)))
        .leptos_routes_with_context(&options, generate_route_list(App), context, document)
        .layer(from_fn(redirect_by_session))
        .fallback_service(not_found.with_state(()))
        .layer(from_fn_with_state(Arc::new(files), serve_file))
        .layer(from_fn(drop_trailing_slash))
        .with_state(options)
}

/// Redirects from settings to sign-in without a session, and from sign-in and sign-up to settings with one. This is not
/// access control: everything that shows or changes data requires the account itself.
async fn redirect_by_session(request: Request, next: Next) -> Response {
    let is_page = request.method() == Method::GET && request.extensions().get::<Submission>().is_none();
    if !is_page {
        return next.run(request).await;
    }
    let path = request.uri().path();
    let is_signed_in = match sessions::signed_in(request.extensions(), request.headers()).await {
        Ok(who) => who.is_some(),
        // The page itself shows that the database does not respond.
        Err(ConsoleError::Unavailable) => return next.run(request).await,
        Err(_) => false,
    };
    if (path.starts_with("/settings") || path.starts_with(MECHAS)) && !is_signed_in {
        let next = request.uri().path_and_query().map_or(path, |address| address.as_str());
        return Redirect::to(&sign_in_url(request.extensions(), request.headers(), next)).into_response();
    }
    if matches!(path, SIGN_IN | SIGN_UP) && is_signed_in {
        return Redirect::to(HOME).into_response();
    }
    next.run(request).await
}

/// The URL of the sign-in page that leads to `next`. With the cookie of a session that has ended, it says so.
pub(super) fn sign_in_url(extensions: &Extensions, headers: &HeaderMap, next: &str) -> String {
    let own = extensions.get().map(|CookieName(name)| *name);
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let had_session = cookies
        .flat_map(|value| value.split("; "))
        .any(|cookie| cookie.split_once('=').is_some_and(|(name, _)| Some(name) == own));
    let page = if had_session { Done::SessionEnded.href(SIGN_IN) } else { SIGN_IN.to_owned() };
    with_next(&page, next)
}

/// Redirects to the address without a trailing slash, so that each page has one address.
async fn drop_trailing_slash(request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let trimmed = path.trim_end_matches('/');
    // `//host/` must not become a redirect to another host.
    if trimmed.is_empty() || trimmed.len() == path.len() || path.starts_with("//") {
        return next.run(request).await;
    }
    Redirect::permanent(trimmed).into_response()
}

/// Responds with a file of the site, if there is one at this path. No file is compressed for a request: each client
/// would have a copy of its own in memory.
async fn serve_file(State(files): State<Arc<SiteFiles>>, request: Request, next: Next) -> Response {
    let Some(mut response) = files.respond(&request) else { return next.run(request).await };
    response.extensions_mut().insert(NotCompressed);
    response
}
