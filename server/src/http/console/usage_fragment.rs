//! `/settings/api-keys/traffic`: the recent usage of a key, as the HTML fragment that its dialogs load.

use crate::services::sessions;
use crate::state::AppState;
use app::backend::KeyBackend;
use app::components::usage::usage;
use app::domain::api_key::KeyId;
use app::error::ConsoleError;
use app::routes::{Dialog, USAGE};
use app::view::refusal::Refusal;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{Extensions, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use std::sync::Arc;

pub(crate) fn router(state: Arc<AppState>) -> Router {
    Router::new().route(USAGE, get(show)).with_state(state)
}

/// The query of the dialog's address.
#[derive(Deserialize)]
struct DialogQuery {
    #[serde(default)]
    dialog: String,
    #[serde(default)]
    key_id: String,
}

async fn show(
    State(state): State<Arc<AppState>>,
    extensions: Extensions,
    Query(query): Query<DialogQuery>,
) -> Response {
    let html = async {
        let who = sessions::signed_in(&extensions).await?.ok_or(ConsoleError::SignedOut)?;
        let key = KeyId::parse(&query.key_id).ok_or(ConsoleError::NotFound)?;
        let key_usage = state.keys.usage(&who.account, &key).await?;
        let dialog = Dialog::parse(&query.dialog, Some(key)).ok_or(ConsoleError::NotFound)?;
        Ok::<_, ConsoleError>(usage(&dialog, &key_usage, state.clock.now()))
    };
    match html.await {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            let problem = Refusal::from(error);
            let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, problem.detail).into_response()
        }
    }
}
