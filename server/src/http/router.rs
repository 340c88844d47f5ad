//! All routes and all layers.

use crate::http::console::{form_actions, key_events, pages, usage_fragment};
use crate::http::dispatch::Dispatch;
use crate::http::middleware::client_ip::{self, TrustedProxies};
use crate::http::middleware::{
    compression, local_host, origin_check, request_metrics, security_headers, session_cookie, timeouts,
};
use crate::http::{api, health, page_runtime, problem};
use crate::state::AppState;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use leptos::config::LeptosOptions;
use std::any::Any;
use std::sync::Arc;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;

/// The whole server. The threads that this is called on answer what is no verification.
pub fn build(console: AppState, site: LeptosOptions, trusted_proxies: TrustedProxies) -> Dispatch {
    let console = Arc::new(console);
    let trusted_proxies = Arc::new(trusted_proxies);
    let pages = pages::router(Arc::clone(&console), site);
    let browsers = Router::new()
        .merge(form_actions::router(pages.clone()))
        .merge(api::owners(Arc::clone(&console)))
        .merge(key_events::router(Arc::clone(&console)))
        .merge(usage_fragment::router(Arc::clone(&console)))
        .fallback_service(pages)
        .layer(compression::layer());
    let browsers = session_cookie::router(Arc::clone(&console), &browsers)
        .layer(from_fn(timeouts::limit_response))
        .layer(from_fn(timeouts::read_body))
        .layer(from_fn_with_state(Arc::clone(&console), origin_check::require_own_origin))
        .layer(from_fn_with_state(Arc::clone(&console), local_host::require_local_host));
    let programs =
        Router::new().merge(api::programs()).merge(health::router()).with_state(Arc::clone(&console));
    let routes = request_metrics::Routes::new(Arc::clone(&console));
    let router = programs
        .fallback_service(browsers)
        .layer(from_fn_with_state(Arc::clone(&console), security_headers::set_headers))
        .layer(map_response(page_runtime::render_body_here))
        .layer(CatchPanicLayer::custom(on_panic))
        .layer(from_fn_with_state(Arc::clone(&trusted_proxies), client_ip::identify))
        .layer(from_fn_with_state(routes, request_metrics::count))
        .layer(TraceLayer::new_for_http().make_span_with(|request: &Request| {
            // Never the query, which may hold what was typed, and never headers.
            tracing::info_span!("request", method = %request.method(), path = request.uri().path())
        }));
    Dispatch::new(console, trusted_proxies, router)
}

/// A defect costs one request, and says nothing of itself.
fn on_panic(_panic: Box<dyn Any + Send + 'static>) -> Response<Body> {
    tracing::error!("a request panicked");
    axum::response::IntoResponse::into_response(problem::ApiProblem::Internal)
}
