//! Why an action was not done, and what is told of it.

use crate::text;
use leptos::server_fn::codec::JsonEncoding;
use leptos::server_fn::error::{FromServerFnError, ServerFnErrorErr};
use serde::{Deserialize, Serialize};

/// A field of a form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Field {
    /// The name of a key.
    Name,
    /// How long a key lives.
    ExpireIn,
    /// What a key is for.
    Description,
    /// How long an old secret works beside the new one.
    Grace,
    /// The name again, to confirm a deletion.
    ConfirmName,
    /// The address to sign in with.
    Email,
    /// The password to sign in with.
    Password,
    /// The password that is to be changed.
    CurrentPassword,
    /// The password that takes its place.
    NewPassword,
    /// The password, to confirm that an account is to be deleted.
    ConfirmPassword,
}

impl Field {
    /// Whether it is a password, which no page gives back.
    #[must_use]
    pub fn is_password(name: &str) -> bool {
        let passwords = [Self::Password, Self::CurrentPassword, Self::NewPassword, Self::ConfirmPassword];
        passwords.iter().any(|field| field.name() == name)
    }

    /// The name under which forms send it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::ExpireIn => "expire_in",
            Self::Description => "description",
            Self::Grace => "grace",
            Self::ConfirmName => "confirm_name",
            Self::Email => "email",
            Self::Password => "password",
            Self::CurrentPassword => "current_password",
            Self::NewPassword => "new_password",
            Self::ConfirmPassword => "confirm_password",
        }
    }
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Problem {
    /// Nothing was entered.
    Empty,
    /// There are more characters than allowed.
    TooLong {
        /// Characters entered.
        is: usize,
        /// Characters allowed.
        max: usize,
    },
    /// There are fewer characters than asked for.
    TooShort {
        /// Characters asked for.
        min: usize,
    },
    /// A name does not begin with a letter.
    MustBeginWithLetter,
    /// There are control characters, or others that cannot be seen.
    Invisible,
    /// Another of the account's keys has this name, or another account this address.
    Taken,
    /// It is none of the choices on offer.
    NotOnOffer,
    /// The new expiry would not be later than the one the key has.
    NotLater,
    /// The re-entered name is not the key's name.
    DoesNotMatch,
    /// It cannot be an e-mail address.
    NotAnAddress,
    /// The password is easy to guess.
    Guessable,
    /// It is not the account's password.
    WrongPassword,
}

/// Why an action of the console was not done. It carries nothing that was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsoleError {
    /// These fields need mending.
    Fields(Vec<(Field, Problem)>),
    /// Unknown address or wrong password; which of the two is not told.
    WrongCredentials,
    /// There is no session, or it has ended.
    SignedOut,
    /// The account has no such key; whether another account has is not told.
    NotFound,
    /// The account has as many keys as it may have.
    LimitReached,
    /// The key has expired, which nothing can undo.
    KeyExpired,
    /// The old secret of the key still works, so another cannot take the new one's place.
    Rotating,
    /// The operator lets nobody else make an account.
    SignUpsClosed,
    /// Too many attempts to sign in.
    TooManyAttempts {
        /// Seconds to wait.
        retry_after: u32,
    },
    /// The server or its database is too busy, or the database does not answer.
    Unavailable,
    /// The request is not one that the console's pages make.
    Malformed,
    /// Something is wrong with the server; its log says what.
    Internal,
}

impl ConsoleError {
    /// One field that needs mending.
    #[must_use]
    pub fn field(field: Field, problem: Problem) -> Self {
        Self::Fields(vec![(field, problem)])
    }

    /// The status of the answer (RFC 9110).
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Fields(_) => 422,
            Self::WrongCredentials | Self::SignedOut => 401,
            Self::NotFound => 404,
            Self::LimitReached | Self::KeyExpired | Self::Rotating => 409,
            Self::SignUpsClosed => 403,
            Self::TooManyAttempts { .. } => 429,
            Self::Unavailable => 503,
            Self::Malformed => 400,
            Self::Internal => 500,
        }
    }

    /// How many seconds to wait before the next attempt (`Retry-After`).
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Self::TooManyAttempts { retry_after } => Some(*retry_after),
            Self::Unavailable => Some(1),
            _ => None,
        }
    }
}

/// Gathers what is wrong with the fields of a form, so that all of it is told at once.
#[derive(Debug, Default)]
pub struct Problems(Vec<(Field, Problem)>);

impl Problems {
    /// Keeps the value of a field, or what is wrong with it.
    pub fn check<T>(&mut self, field: Field, parsed: Result<T, Problem>) -> Option<T> {
        parsed.map_err(|problem| self.0.push((field, problem))).ok()
    }
}

impl From<Problems> for ConsoleError {
    fn from(problems: Problems) -> Self {
        Self::Fields(problems.0)
    }
}

/// What is told of an error: a [`ConsoleError`] put into words, ready to be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// The status of the answer; 0 if there was none.
    pub status: u16,
    /// What happened, and what to do about it; empty if `fields` say it all.
    pub detail: String,
    /// What to mend, by the name of the field.
    pub fields: Vec<(String, String)>,
    /// How many seconds to wait before the next attempt; 0 if there is no need.
    pub retry_after: u32,
}

impl Refusal {
    /// The browser got no answer that it could read.
    #[must_use]
    pub fn unreachable() -> Self {
        Self { detail: text::UNREACHABLE.to_owned(), ..Self::default() }
    }

    /// What to do about this field.
    #[must_use]
    pub fn of(&self, field: Field) -> Option<&str> {
        self.fields.iter().find(|(of, _)| of == field.name()).map(|(_, problem)| problem.as_str())
    }

    /// Puts what is wrong with a field now in the place of what was; nothing, once it is mended.
    pub fn mend(&mut self, field: Field, still: Option<Problem>) {
        self.fields.retain_mut(|(of, problem)| match still {
            _ if of != field.name() => true,
            Some(still) => {
                *problem = text::problem(field, still);
                true
            }
            None => false,
        });
    }
}

impl From<ConsoleError> for Refusal {
    fn from(error: ConsoleError) -> Self {
        let fields = match &error {
            ConsoleError::Fields(problems) => problems
                .iter()
                .map(|(field, problem)| (field.name().to_owned(), text::problem(*field, *problem)))
                .collect(),
            _ => Vec::new(),
        };
        Self {
            status: error.status(),
            detail: text::error(&error),
            fields,
            retry_after: error.retry_after().unwrap_or_default(),
        }
    }
}

impl FromServerFnError for Refusal {
    type Encoder = JsonEncoding;

    fn from_server_fn_error(error: ServerFnErrorErr) -> Self {
        match error {
            ServerFnErrorErr::Args(_)
            | ServerFnErrorErr::MissingArg(_)
            | ServerFnErrorErr::Deserialization(_)
            | ServerFnErrorErr::UnsupportedRequestMethod(_) => ConsoleError::Malformed.into(),
            _ => ConsoleError::Internal.into(),
        }
    }
}
