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

/// The account of this session
///
/// Closed to keys.
#[utoipa::path(
    get,
    path = "/api/v1/account",
    tag = "Accounts",
    responses((status = 200, description = "The account", body = Account), OwnerProblems),
    security(("session" = []))
)]
pub(crate) async fn account(Owner(who): Owner) -> NoStore<Account> {
    no_store(Account { id: who.account.0, email: who.email })
}
