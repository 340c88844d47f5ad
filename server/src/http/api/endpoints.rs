//! The operations of `/api/v1`, each with its description.

use super::{account, key, mechas, runtime, sessions, trigger, users_me};
use crate::state::AppState;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Operations that require a key.
pub(crate) fn open_to_keys() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::new()
        .routes(routes!(key::show))
        .routes(routes!(mechas::own))
        .routes(routes!(mechas::list))
        .routes(routes!(mechas::show))
        .routes(routes!(runtime::connect))
        .routes(routes!(trigger::trigger))
}

/// Operations that require the session of an owner, and reject keys.
pub(crate) fn closed_to_keys() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::new()
        .routes(routes!(account::account))
        .routes(routes!(users_me::user))
        .routes(routes!(sessions::sessions))
}
