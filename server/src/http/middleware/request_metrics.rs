//! Counts requests by route and status.

use crate::http::api;
use crate::state::AppState;
use app::App;
use app::routes::EVENTS;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use leptos::server_fn::axum::server_fn_paths;
use leptos_axum::generate_route_list;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

/// The routes that have their own `route` label. All other paths share one label. Bounds label cardinality.
#[derive(Clone)]
pub(crate) struct Routes {
    known: Arc<HashSet<String>>,
    state: Arc<AppState>,
}

impl Routes {
    pub(crate) fn new(state: Arc<AppState>) -> Self {
        let pages = generate_route_list(App).into_iter().map(|route| route.path().to_owned());
        let actions = server_fn_paths().map(|(path, _)| path.to_owned());
        let operations = api::description().paths.paths.into_keys();
        let other_paths = ["/", "/healthz", "/readyz", "/api/v1/openapi.json", EVENTS];
        let other_paths = other_paths.into_iter().map(ToOwned::to_owned);
        Self { known: Arc::new(pages.chain(actions).chain(operations).chain(other_paths).collect()), state }
    }

    /// The `route` label of a path.
    fn label(&self, path: &str) -> String {
        match path {
            known if self.known.contains(known) => known.to_owned(),
            mecha if mecha.starts_with("/mechas/") => "/mechas/{id}".to_owned(),
            file if file.starts_with("/assets/") => "/assets".to_owned(),
            _ => "other".to_owned(),
        }
    }
}

/// Counts a request by route and status, with the time until the head of its response.
pub(crate) async fn count(State(routes): State<Routes>, request: Request, next: Next) -> Response {
    let label = routes.label(request.uri().path());
    let began = Instant::now();
    let response = next.run(request).await;
    routes.state.metrics.record_response(label, response.status().as_u16(), began.elapsed());
    response
}
