//! All routes and all layers.

use crate::http::console::site_files::SiteFiles;
use crate::http::console::{form_actions, key_events, pages, try_action};
use crate::http::middleware::client_ip::{self, TrustedProxies};
use crate::http::middleware::{
    compression, host_check, origin_check, request_metrics, request_target, security_headers, session_cookie,
    timeouts,
};
use crate::http::verify::endpoint;
use crate::http::{api, health, problem};
use crate::state::AppState;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use axum::middleware::{from_fn, from_fn_with_state};
use std::any::Any;
use std::sync::Arc;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;

/// Builds the router of the main listener.
pub fn build(state: AppState, files: SiteFiles, trusted_proxies: TrustedProxies) -> Router {
    let state = Arc::new(state);
    let trusted_proxies = Arc::new(trusted_proxies);
    let pages = pages::router(Arc::clone(&state), files);
    let browser_routes = Router::new()
        .merge(form_actions::router(pages.clone()))
        .merge(api::owners(Arc::clone(&state)))
        .merge(key_events::router(Arc::clone(&state)))
        .merge(try_action::router(Arc::clone(&state)))
        .fallback_service(pages)
        .layer(compression::layer());
    let browser_routes = session_cookie::router(Arc::clone(&state), &browser_routes)
        .layer(from_fn(timeouts::limit_response))
        .layer(from_fn(timeouts::read_body))
        .layer(from_fn_with_state(Arc::clone(&state), origin_check::require_own_origin))
        .layer(from_fn_with_state(Arc::clone(&state), host_check::require_local_host));
    let client_routes =
        Router::new().merge(api::programs()).merge(health::router()).with_state(Arc::clone(&state));
    let routes = request_metrics::Routes::new(Arc::clone(&state));
    let layered = client_routes
        .fallback_service(browser_routes)
        .layer(from_fn_with_state(Arc::clone(&state), security_headers::set_headers))
        .layer(CatchPanicLayer::custom(on_panic))
        .layer(from_fn_with_state(Arc::clone(&trusted_proxies), client_ip::identify))
        .layer(from_fn_with_state(routes, request_metrics::count))
        .layer(TraceLayer::new_for_http().make_span_with(|request: &Request| {
            // Never log the query, which may contain form input, or headers, which may contain credentials.
            tracing::info_span!("request", method = %request.method(), path = request.uri().path())
        }))
        .layer(from_fn(request_target::require_path));
    endpoint::router(state, trusted_proxies).fallback_service(layered)
}

/// Responds with 500 if a handler panics. The response contains no details.
fn on_panic(_panic: Box<dyn Any + Send + 'static>) -> Response<Body> {
    tracing::error!("a request panicked");
    axum::response::IntoResponse::into_response(problem::ApiProblem::Internal)
}
