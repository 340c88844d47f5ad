//! `/settings/api-keys/traffic`: who used a key lately, as the piece of the page that its dialogs show.

use crate::services::sessions;
use crate::state::AppState;
use app::backend::KeyBackend;
use app::components::usage::usage;
use app::domain::api_key::KeyId;
use app::error::{ConsoleError, Refusal};
use app::routes::{Dialog, USAGE};
use axum::Router;
use axum::extract::{Query, State};
use axum::http::{Extensions, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use std::sync::Arc;

pub(crate) fn router(console: Arc<AppState>) -> Router {
    Router::new().route(USAGE, get(show)).with_state(console)
}

/// The address of the dialog, but for its page.
#[derive(Deserialize)]
struct Asked {
    #[serde(default)]
    dialog: String,
    #[serde(default)]
    key_id: String,
}

async fn show(
    State(console): State<Arc<AppState>>,
    extensions: Extensions,
    Query(asked): Query<Asked>,
) -> Response {
    let html = async {
        let who = sessions::signed_in(&extensions).await?.ok_or(ConsoleError::SignedOut)?;
        let key = KeyId::parse(&asked.key_id).ok_or(ConsoleError::NotFound)?;
        let known = console.keys.usage(&who.account, &key).await?;
        let dialog = Dialog::parse(&asked.dialog, Some(key)).ok_or(ConsoleError::NotFound)?;
        Ok::<_, ConsoleError>(usage(&dialog, &known, console.clock.now()))
    };
    match html.await {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            let refusal = Refusal::from(error);
            let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, refusal.detail).into_response()
        }
    }
}
