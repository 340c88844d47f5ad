//! Accounts and sessions.

use crate::error::Refusal;
#[cfg(feature = "ssr")]
use crate::{
    backend::{self, request, require_account},
    domain::account::{Email, Password},
    error::{ConsoleError, Field, Problems},
    routes::{ACCOUNT, Done, SIGN_IN, local_path},
};
use leptos::prelude::*;

/// Makes an account and signs it in; answers with the path to go to.
///
/// # Errors
/// Fields that need mending, closed sign-ups, or too many attempts.
#[server(name = SignUp, prefix = "/rpc", endpoint = "account/sign-up")]
pub async fn sign_up(
    email: String,
    password: String,
    #[server(default)] next: String,
) -> Result<String, Refusal> {
    let mut problems = Problems::default();
    let email = problems.check(Field::Email, Email::parse(&email));
    let password = problems.check(Field::Password, Password::parse_new(&password));
    let (Some(email), Some(password)) = (email, password) else {
        return Err(ConsoleError::from(problems).into());
    };
    backend::accounts()?.sign_up(&request()?, email, password).await?;
    Ok(local_path(&next).to_owned())
}

/// Begins a session; answers with the path to go to.
///
/// # Errors
/// Fields that need mending, wrong credentials, or too many attempts.
#[server(name = SignIn, prefix = "/rpc", endpoint = "account/sign-in")]
pub async fn sign_in(
    email: String,
    password: String,
    #[server(default)] next: String,
) -> Result<String, Refusal> {
    let mut problems = Problems::default();
    let email = problems.check(Field::Email, Email::parse(&email));
    let password = problems.check(Field::Password, Password::parse(&password));
    let (Some(email), Some(password)) = (email, password) else {
        return Err(ConsoleError::from(problems).into());
    };
    backend::accounts()?.sign_in(&request()?, email, password).await?;
    Ok(local_path(&next).to_owned())
}

/// Ends the session; answers with the path to go to. Without a session there is nothing to end.
///
/// # Errors
/// Only those of the server.
#[server(name = SignOut, prefix = "/rpc", endpoint = "account/sign-out")]
pub async fn sign_out() -> Result<String, Refusal> {
    backend::accounts()?.sign_out(&request()?).await?;
    Ok(Done::SignedOut.href(SIGN_IN))
}

/// Gives the account another password and ends its other sessions; answers with the path to go to.
///
/// # Errors
/// Fields that need mending, or too many attempts.
#[server(name = ChangePassword, prefix = "/rpc", endpoint = "account/change-password")]
pub async fn change_password(current_password: String, new_password: String) -> Result<String, Refusal> {
    let who = require_account().await?;
    let mut problems = Problems::default();
    let current = problems.check(Field::CurrentPassword, Password::parse(&current_password));
    let new = problems.check(Field::NewPassword, Password::parse_new(&new_password));
    let (Some(current), Some(new)) = (current, new) else {
        return Err(ConsoleError::from(problems).into());
    };
    backend::accounts()?.change_password(&request()?, &who, current, new).await?;
    Ok(Done::PasswordChanged.href(ACCOUNT))
}

/// Ends all sessions of the account; answers with the path to go to.
///
/// # Errors
/// Only those of the server.
#[server(name = SignOutEverywhere, prefix = "/rpc", endpoint = "account/sign-out-everywhere")]
pub async fn sign_out_everywhere() -> Result<String, Refusal> {
    let who = require_account().await?;
    backend::accounts()?.sign_out_everywhere(&request()?, &who).await?;
    Ok(Done::SignedOutEverywhere.href(SIGN_IN))
}

/// Deletes the account with everything that it owns; answers with the path to go to.
///
/// # Errors
/// A password that needs mending, or too many attempts.
#[server(name = DeleteAccount, prefix = "/rpc", endpoint = "account/delete")]
pub async fn delete_account(confirm_password: String) -> Result<String, Refusal> {
    let who = require_account().await?;
    let password = Password::parse(&confirm_password)
        .map_err(|problem| ConsoleError::field(Field::ConfirmPassword, problem))?;
    backend::accounts()?.delete_account(&request()?, &who, password).await?;
    Ok(Done::AccountDeleted.href(SIGN_IN))
}
