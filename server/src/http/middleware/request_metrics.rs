//! Counts requests by route and status.

use crate::http::api;
use crate::http::dispatch::Arrived;
use crate::state::AppState;
use app::App;
use app::routes::{EVENTS, USAGE};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use leptos::server_fn::axum::server_fn_paths;
use leptos_axum::generate_route_list;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

/// The routes that are told apart; all else is one. A label must not have as many values as strangers think of.
#[derive(Clone)]
pub(crate) struct Routes {
    known: Arc<HashSet<String>>,
    console: Arc<AppState>,
}

impl Routes {
    pub(crate) fn new(console: Arc<AppState>) -> Self {
        let pages = generate_route_list(App).into_iter().map(|route| route.path().to_owned());
        let actions = server_fn_paths().map(|(path, _)| path.to_owned());
        let operations = api::description().paths.paths.into_keys();
        let others = ["/", "/healthz", "/readyz", "/api/v1/openapi.json", EVENTS, USAGE];
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
pub(crate) async fn count(State(routes): State<Routes>, request: Request, next: Next) -> Response {
    let route = routes.of(request.uri().path());
    let began = request.extensions().get().map_or_else(Instant::now, |Arrived(at)| *at);
    let response = next.run(request).await;
    routes.console.metrics.answered(route, response.status().as_u16(), began.elapsed());
    response
}
