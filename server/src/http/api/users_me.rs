//! `/api/v1/users/me`.

use super::account::{Account, account};
use super::session_auth::{NoStore, Owner};
use crate::http::problem::OwnerProblems;

/// Get the user
///
/// Closed to keys. An account has one user.
#[utoipa::path(
    get,
    path = "/api/v1/users/me",
    tag = "Users",
    responses((status = 200, description = "The user", body = Account, example = json!({
        "id": "019aa1b0c4d57e6f8a9b0c1d2e3f4a5b",
        "email": "ada@example.com"
    })), OwnerProblems),
    security(("session" = []))
)]
pub(crate) async fn user(owner: Owner) -> NoStore<Account> {
    account(owner).await
}
