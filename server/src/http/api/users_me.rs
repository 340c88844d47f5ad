//! `/api/v1/users/me`.

use super::account::{Account, account};
use super::session_auth::{NoStore, Owner};
use crate::http::problem::OwnerProblems;

/// The user of this session
///
/// Closed to keys. An account has one user.
#[utoipa::path(
    get,
    path = "/api/v1/users/me",
    tag = "Users",
    responses((status = 200, description = "The user", body = Account), OwnerProblems),
    security(("session" = []))
)]
pub(crate) async fn user(owner: Owner) -> NoStore<Account> {
    account(owner).await
}
