//! Error messages: what went wrong, and what the user can do.

use super::{account, keys};
use crate::domain::field_error::{Field, FieldError};
use crate::error::ConsoleError;

/// The message of a field error.
#[must_use]
pub fn problem(field: Field, problem: FieldError) -> String {
    match (field, problem) {
        (Field::Name, FieldError::Empty) => "Enter a name for the key.".to_owned(),
        (Field::Email, FieldError::Empty) => "Enter your e-mail address.".to_owned(),
        (Field::Password, FieldError::Empty) => "Enter a password.".to_owned(),
        (Field::NewPassword, FieldError::Empty) => "Enter a new password.".to_owned(),
        (Field::CurrentPassword | Field::ConfirmPassword, FieldError::Empty) => {
            "Enter your password.".to_owned()
        }
        (_, FieldError::WrongPassword) => "This is not your password.".to_owned(),
        (Field::ConfirmName, _) => "This is not the name of the key. Enter it exactly as shown.".to_owned(),
        (Field::ExpireIn, FieldError::NotLater) => {
            "The key already lives longer than this. Choose a longer period.".to_owned()
        }
        (Field::Grace, _) => "Choose how long the old secret is to work.".to_owned(),
        (Field::ExpireIn, _) => "Choose one of the periods on offer.".to_owned(),
        (_, FieldError::Empty) => "Fill in this field.".to_owned(),
        (_, FieldError::TooLong { is, max }) => {
            format!("Too long: {is} characters. Shorten it to at most {max}.")
        }
        (_, FieldError::TooShort { min }) => format!("Too short. Use at least {min} characters."),
        (_, FieldError::MustBeginWithLetter) => "Begin the name with a letter.".to_owned(),
        (_, FieldError::Invisible) => {
            "There is a character in it that cannot be seen. Delete it, or type the text anew.".to_owned()
        }
        (Field::Email, FieldError::Taken) => {
            "There is an account with this address already. Sign in instead.".to_owned()
        }
        (_, FieldError::Taken) => "Another of your keys has this name. Choose a different one.".to_owned(),
        (_, FieldError::NotAnAddress) => "Enter an e-mail address, such as ada@example.com.".to_owned(),
        (_, FieldError::Guessable) => {
            "This password is easy to guess. Make it longer, or less common.".to_owned()
        }
        (_, FieldError::NotOnOffer | FieldError::NotLater | FieldError::DoesNotMatch) => {
            "This choice is not on offer.".to_owned()
        }
    }
}

/// The message of an error; empty if it consists of field errors.
#[must_use]
pub fn error(error: &ConsoleError) -> String {
    match error {
        ConsoleError::Fields(_) => String::new(),
        ConsoleError::WrongCredentials => "E-mail or password is wrong.".to_owned(),
        ConsoleError::SignedOut => {
            "You are signed out. Sign in again in another tab, and then repeat this.".to_owned()
        }
        ConsoleError::NotFound => {
            "This key no longer exists. Reload the page to see the keys you have.".to_owned()
        }
        ConsoleError::LimitReached => keys::FULL.to_owned(),
        ConsoleError::KeyExpired => "This key has expired. Generate a new one instead.".to_owned(),
        ConsoleError::Rotating => {
            "The old secret of this key still works. Retire it first, or wait until it ends.".to_owned()
        }
        ConsoleError::SignUpsClosed => account::CLOSED_LEAD.to_owned(),
        ConsoleError::TooManyAttempts { retry_after: 0..=1 } => {
            "Too many attempts. Try again in a second.".to_owned()
        }
        ConsoleError::TooManyAttempts { retry_after } => {
            format!("Too many attempts. Try again in {retry_after} seconds.")
        }
        ConsoleError::Unavailable => "The console is too busy at the moment. Try again shortly.".to_owned(),
        ConsoleError::Malformed => {
            "The request was not understood. Reload the page and try again.".to_owned()
        }
        ConsoleError::Internal => {
            "Something went wrong on the server. Nothing was lost; try again.".to_owned()
        }
    }
}
