//! `/api/v1/account`.

use super::session_auth::{NoStore, Owner, no_store};
use crate::http::problem::OwnerProblems;
use serde::Serialize;
use utoipa::ToSchema;

/// An account.
#[derive(Serialize, ToSchema)]
pub(crate) struct Account {
    /// The account ID: 32 hex digits.
    id: String,
    /// The email address that the account signs in with.
    email: String,
}

/// Get the account
///
/// Closed to keys.
#[utoipa::path(
    get,
    path = "/api/v1/account",
    tag = "Accounts",
    responses((status = 200, description = "The account", body = Account, example = json!({
        "id": "019aa1b0c4d57e6f8a9b0c1d2e3f4a5b",
        "email": "ada@example.com"
    })), OwnerProblems),
    security(("session" = []))
)]
pub(crate) async fn account(Owner(who): Owner) -> NoStore<Account> {
    no_store(Account { id: who.account.0, email: who.email })
}
