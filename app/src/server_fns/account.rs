//! Accounts and sessions.

use crate::error::Refusal;
#[cfg(feature = "ssr")]
use crate::{
    backend::{backend, request},
    domain::account::{Email, Password},
    error::{ConsoleError, Field, Problems},
    navigation::{Done, SIGN_IN, local_path},
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
    backend()?.sign_up(&request()?, email, password).await?;
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
    backend()?.sign_in(&request()?, email, password).await?;
    Ok(local_path(&next).to_owned())
}

/// Ends the session; answers with the path to go to. Without a session there is nothing to end.
///
/// # Errors
/// Only those of the server.
#[server(name = SignOut, prefix = "/rpc", endpoint = "account/sign-out")]
pub async fn sign_out() -> Result<String, Refusal> {
    backend()?.sign_out(&request()?).await?;
    Ok(Done::SignedOut.href(SIGN_IN))
}
