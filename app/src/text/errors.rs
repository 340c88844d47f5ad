//! Error messages: what went wrong, and what the user can do.

#[cfg(feature = "ssr")]
use super::time::date;
#[cfg(feature = "ssr")]
use super::{account, keys};
#[cfg(feature = "ssr")]
use crate::domain::field_error::Field;
use crate::domain::field_error::FieldError;
#[cfg(feature = "ssr")]
use crate::domain::timestamp::Timestamp;
#[cfg(feature = "ssr")]
use crate::error::ConsoleError;

/// The message of a field error.
#[cfg(feature = "ssr")]
#[must_use]
pub fn problem(field: Field, problem: FieldError) -> String {
    let text = match (field, problem) {
        (Field::Name | Field::Description, problem) => return text_problem(problem),
        (Field::MechaName, FieldError::Taken) => {
            "Another of your Mechas has this name. Choose a different one."
        }
        (Field::Email, FieldError::Empty) => "Enter your e-mail address.",
        (Field::Password, FieldError::Empty) => "Enter a password.",
        (Field::NewPassword, FieldError::Empty) => "Enter a new password.",
        (Field::CurrentPassword | Field::ConfirmPassword, FieldError::Empty) => "Enter your password.",
        (Field::NewPassword, FieldError::Taken) => "This is your current password. Choose a different one.",
        (_, FieldError::WrongPassword) => "This is not your password.",
        (Field::ConfirmName, _) => "The name does not match. Enter it exactly as shown.",
        (Field::ExpireIn, FieldError::NotLater) => {
            "The key already expires later than that. Choose a longer period."
        }
        (Field::Scopes, FieldError::NoneChosen) => "Choose at least one scope, or access to everything.",
        (Field::Scopes, FieldError::Changed) => {
            "The access was changed meanwhile. Check what you chose, and save again."
        }
        (Field::Scopes, _) => "Choose among the listed scopes.",
        (Field::ExpiresOn, FieldError::NotLater) => {
            "The key already expires later than that. Choose a later date."
        }
        (Field::ExpiresOn, FieldError::NotADate) => "Enter a date.",
        (Field::ExpiresOn, FieldError::OutOfRange { first, last }) => {
            let day = |day| date(Timestamp::end_of_day(day));
            return format!("Choose a date from {} to {}.", day(first), day(last));
        }
        (Field::Grace, _) => "Choose when the old secret stops working.",
        (Field::ExpireIn, _) => "Choose one of the listed periods.",
        (Field::Email, FieldError::Taken) => "An account with this address already exists. Sign in instead.",
        (_, FieldError::NotAnAddress) => "Enter an e-mail address, such as ada@example.com.",
        (_, FieldError::Guessable) => "This password is easy to guess. Make it longer, or less common.",
        (_, problem) => return text_problem(problem),
    };
    text.to_owned()
}

/// The message of an error of a name or a description, which the browser shows too. It is short, because it is part of
/// the WebAssembly.
#[must_use]
pub fn text_problem(problem: FieldError) -> String {
    let text = match problem {
        FieldError::Empty => "Enter a name.",
        FieldError::TooLong { is, max } => {
            return format!("Too long: {is} characters. Shorten it to at most {max}.");
        }
        FieldError::TooShort { min } => return format!("Too short. Use at least {min} characters."),
        FieldError::MustBeginWithLetter => {
            "Begin the name with a letter. Digits, symbols and emoji can follow."
        }
        FieldError::Invisible => "This contains an invisible character. Delete it, or type the text again.",
        FieldError::Taken => "Another of your keys has this name. Choose a different one.",
        _ => "Choose one of the listed options.",
    };
    text.to_owned()
}

/// The message of an error; empty if it consists of field errors.
#[cfg(feature = "ssr")]
#[must_use]
pub fn error(error: &ConsoleError) -> String {
    match error {
        ConsoleError::Fields(_) => String::new(),
        ConsoleError::WrongCredentials => "The e-mail address or the password is wrong.".to_owned(),
        ConsoleError::SignedOut => {
            "Your session has ended. Sign in again in another tab, then try again.".to_owned()
        }
        ConsoleError::NotFound => {
            "This key no longer exists. Reload the page to see the keys you have.".to_owned()
        }
        ConsoleError::MechaNotFound => {
            "This Mecha no longer exists. Reload the page to see the Mechas you have.".to_owned()
        }
        ConsoleError::RuntimeNotFound => "This runtime is no longer connected.".to_owned(),
        ConsoleError::RuntimeSilent => {
            "The runtime did not respond within 5 seconds. Try again, or disconnect it.".to_owned()
        }
        ConsoleError::LimitReached { limit } => keys::full(*limit, *limit),
        ConsoleError::MechaLimitReached => {
            "You have reached the maximum number of Mechas. Delete one that you no longer use.".to_owned()
        }
        ConsoleError::KeyExpired => "This key has expired. Generate a new one instead.".to_owned(),
        ConsoleError::Rotating => {
            "The old secret of this key still works. Retire it first, or wait until it stops working."
                .to_owned()
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
            "The server did not understand the request. Reload the page and try again.".to_owned()
        }
        ConsoleError::Internal => {
            "Something went wrong on the server. Nothing was lost; try again.".to_owned()
        }
    }
}
