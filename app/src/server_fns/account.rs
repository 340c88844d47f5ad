//! Server functions for accounts and sessions. Each returns the path to redirect to.

use crate::view::refusal::Refusal;
use crate::{
    backend::{self, request, require_account},
    domain::account::{Email, Password},
    domain::field_error::Field,
    error::{ConsoleError, FieldErrors},
    routes::{ACCOUNT, Done, SIGN_IN, local_path},
};
use leptos::prelude::*;

/// Creates an account and a session. Returns the path to redirect to.
///
/// # Errors
/// Field errors, closed sign-ups, or too many attempts.
#[server(name = SignUp, prefix = "/rpc", endpoint = "account/sign-up")]
pub async fn sign_up(
    email: String,
    password: String,
    #[server(default)] next: String,
) -> Result<String, Refusal> {
    let mut problems = FieldErrors::default();
    let email = problems.check(Field::Email, Email::parse(&email));
    let password = problems.check(Field::Password, Password::parse_new(&password));
    let (Some(email), Some(password)) = (email, password) else {
        return Err(ConsoleError::from(problems).into());
    };
    backend::accounts()?.sign_up(&request()?, email, password).await?;
    Ok(local_path(&next).to_owned())
}

/// Creates a session. Returns the path to redirect to.
///
/// # Errors
/// Field errors, wrong credentials, or too many attempts.
#[server(name = SignIn, prefix = "/rpc", endpoint = "account/sign-in")]
pub async fn sign_in(
    email: String,
    password: String,
    #[server(default)] next: String,
) -> Result<String, Refusal> {
    let mut problems = FieldErrors::default();
    let email = problems.check(Field::Email, Email::parse(&email));
    let password = problems.check(Field::Password, Password::parse(&password));
    let (Some(email), Some(password)) = (email, password) else {
        return Err(ConsoleError::from(problems).into());
    };
    backend::accounts()?.sign_in(&request()?, email, password).await?;
    Ok(local_path(&next).to_owned())
}

/// Ends the session. Succeeds without a session too. Returns the path to redirect to.
///
/// # Errors
/// Only server errors.
#[server(name = SignOut, prefix = "/rpc", endpoint = "account/sign-out")]
pub async fn sign_out() -> Result<String, Refusal> {
    backend::accounts()?.sign_out(&request()?).await?;
    Ok(Done::SignedOut.href(SIGN_IN))
}

/// Sets a new password and ends the other sessions of the account. Returns the path to redirect to.
///
/// # Errors
/// Field errors, no session, or too many attempts.
#[server(name = ChangePassword, prefix = "/rpc", endpoint = "account/change-password")]
pub async fn change_password(current_password: String, new_password: String) -> Result<String, Refusal> {
    let who = require_account().await?;
    let mut problems = FieldErrors::default();
    let current = problems.check(Field::CurrentPassword, Password::parse(&current_password));
    let new = problems.check(Field::NewPassword, Password::parse_new(&new_password));
    let (Some(current), Some(new)) = (current, new) else {
        return Err(ConsoleError::from(problems).into());
    };
    backend::accounts()?.change_password(&request()?, &who, current, new).await?;
    Ok(Done::PasswordChanged.href(ACCOUNT))
}

/// Ends another session of the account. Returns the path to redirect to.
///
/// # Errors
/// No session, or server errors.
#[server(name = EndSession, prefix = "/rpc", endpoint = "account/end-session")]
pub async fn end_session(session: String) -> Result<String, Refusal> {
    let who = require_account().await?;
    backend::accounts()?.end_session(&who, &session).await?;
    Ok(Done::OtherSessionEnded.href(ACCOUNT))
}

/// Ends all sessions of the account. Returns the path to redirect to.
///
/// # Errors
/// No session, or server errors.
#[server(name = SignOutEverywhere, prefix = "/rpc", endpoint = "account/sign-out-everywhere")]
pub async fn sign_out_everywhere() -> Result<String, Refusal> {
    let who = require_account().await?;
    backend::accounts()?.sign_out_everywhere(&request()?, &who).await?;
    Ok(Done::SignedOutEverywhere.href(SIGN_IN))
}

/// Deletes the account and all of its data. Returns the path to redirect to.
///
/// # Errors
/// A field error for the password, no session, or too many attempts.
#[server(name = DeleteAccount, prefix = "/rpc", endpoint = "account/delete")]
pub async fn delete_account(confirm_password: String) -> Result<String, Refusal> {
    let who = require_account().await?;
    let password = Password::parse(&confirm_password)
        .map_err(|problem| ConsoleError::field(Field::ConfirmPassword, problem))?;
    backend::accounts()?.delete_account(&request()?, &who, password).await?;
    Ok(Done::AccountDeleted.href(SIGN_IN))
}
