//! HTTP: one endpoint or one concern a file.

pub mod api;
pub mod client;
mod compression;
mod credential;
mod events;
pub mod front;
mod handover;
mod health;
mod listen;
pub mod metrics;
mod minimum_rate;
mod pages;
mod plain_forms;
mod problem;
mod security;
pub mod serve;
mod session;
mod timeouts;
mod traffic;
mod verify;

use crate::console::Console;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use axum::middleware::{from_fn, from_fn_with_state, map_response};
use client::TrustedProxies;
use front::Front;
use leptos::config::LeptosOptions;
use std::any::Any;
use std::sync::Arc;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::trace::TraceLayer;

/// The whole server. The threads that this is called on answer what is no verification.
pub fn build(console: Console, site: LeptosOptions, trusted_proxies: TrustedProxies) -> Front {
    let console = Arc::new(console);
    let trusted_proxies = Arc::new(trusted_proxies);
    let pages = pages::router(Arc::clone(&console), site);
    let browsers = Router::new()
        .merge(plain_forms::router(pages.clone()))
        .merge(api::owners(Arc::clone(&console)))
        .merge(events::router(Arc::clone(&console)))
        .merge(traffic::router(Arc::clone(&console)))
        .fallback_service(pages)
        .layer(compression::layer());
    let browsers = session::router(Arc::clone(&console), &browsers)
        .layer(from_fn(timeouts::limit_response))
        .layer(from_fn(timeouts::read_body))
        .layer(from_fn_with_state(Arc::clone(&console), security::require_own_origin))
        .layer(from_fn_with_state(Arc::clone(&console), security::require_local_host));
    let programs =
        Router::new().merge(api::programs()).merge(health::router()).with_state(Arc::clone(&console));
    let routes = metrics::Routes::new(Arc::clone(&console));
    let router = programs
        .fallback_service(browsers)
        .layer(from_fn_with_state(Arc::clone(&console), security::set_headers))
        .layer(map_response(handover::with_body_made_here))
        .layer(CatchPanicLayer::custom(on_panic))
        .layer(from_fn_with_state(Arc::clone(&trusted_proxies), client::identify))
        .layer(from_fn_with_state(routes, metrics::count))
        .layer(TraceLayer::new_for_http().make_span_with(|request: &Request| {
            // Never the query, which may hold what was typed, and never headers.
            tracing::info_span!("request", method = %request.method(), path = request.uri().path())
        }));
    Front::new(console, trusted_proxies, router)
}

/// A defect costs one request, and says nothing of itself.
fn on_panic(_panic: Box<dyn Any + Send + 'static>) -> Response<Body> {
    tracing::error!("a request panicked");
    axum::response::IntoResponse::into_response(problem::ApiProblem::Internal)
}
