//! `/metrics` (OpenMetrics 1.0), on an address of its own: what it tells is for the operator, and behind a proxy
//! nobody can tell the operator from a stranger.

use super::front::Arrived;
use super::{api, problem::ApiProblem};
use crate::console::Console;
use app::App;
use app::navigation::{EVENTS, TRAFFIC};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use leptos::server_fn::axum::server_fn_paths;
use leptos_axum::generate_route_list;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

/// The operator's routes.
pub fn router(console: Arc<Console>) -> Router {
    Router::new().route("/metrics", get(show)).merge(super::health::router()).with_state(console)
}

async fn show(State(console): State<Arc<Console>>) -> Response {
    match console.metrics.text(&console.accounts, &console.keys.verifier) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(CONTENT_TYPE, kind)], text).into_response()
        }
        Err(_) => ApiProblem::Internal.into_response(),
    }
}

/// The routes that are told apart; all else is one. A label must not have as many values as strangers think of.
#[derive(Clone)]
pub(super) struct Routes {
    known: Arc<HashSet<String>>,
    console: Arc<Console>,
}

impl Routes {
    pub(super) fn new(console: Arc<Console>) -> Self {
        let pages = generate_route_list(App).into_iter().map(|route| route.path().to_owned());
        let actions = server_fn_paths().map(|(path, _)| path.to_owned());
        let operations = api::description().paths.paths.into_keys();
        let others = ["/", "/healthz", "/readyz", "/api/v1/openapi.json", EVENTS, TRAFFIC];
        let others = others.into_iter().map(ToOwned::to_owned);
        Self { known: Arc::new(pages.chain(actions).chain(operations).chain(others).collect()), console }
    }

    fn of(&self, path: &str) -> String {
        match path {
            known if self.known.contains(known) => known.to_owned(),
            file if file.starts_with("/pkg/") => "/pkg".to_owned(),
            _ => "other".to_owned(),
        }
    }
}

/// Counts requests.
pub(super) async fn count(State(routes): State<Routes>, request: Request, next: Next) -> Response {
    let route = routes.of(request.uri().path());
    let began = request.extensions().get().map_or_else(Instant::now, |Arrived(at)| *at);
    let response = next.run(request).await;
    routes.console.metrics.answered(route, response.status().as_u16(), began.elapsed());
    response
}
