//! The error type of the console's use cases.

use crate::domain::field_error::{Field, FieldError};

/// Why a use case failed. It contains no user input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsoleError {
    /// The values of these fields are invalid.
    Fields(Vec<(Field, FieldError)>),
    /// Unknown e-mail address or wrong password. The two are not distinguished, so that accounts cannot be enumerated.
    WrongCredentials,
    /// The request has no session, or its session has ended.
    SignedOut,
    /// The account has no such key. The response is the same if another account has it.
    NotFound,
    /// The account has no such Mecha.
    MechaNotFound,
    /// The account has no such runtime that is connected.
    RuntimeNotFound,
    /// The runtime, or the node that holds it, did not respond in time.
    RuntimeSilent,
    /// The owner has reached the limit of keys.
    LimitReached {
        /// The limit.
        limit: u32,
    },
    /// The account has reached the limit of Mechas.
    MechaLimitReached,
    /// The key has expired, which is final.
    KeyExpired,
    /// The previous secret of the key is still valid, so the key cannot be rotated again.
    Rotating,
    /// The operator has closed sign-ups.
    SignUpsClosed,
    /// The attempt was rate-limited.
    TooManyAttempts {
        /// Seconds to wait.
        retry_after: u32,
    },
    /// The server or its database is overloaded, or the database does not respond.
    Unavailable,
    /// The request is malformed. The pages of the console never send such a request.
    Malformed,
    /// An internal error. The server logs its cause.
    Internal,
}

impl ConsoleError {
    /// An error for a single field.
    #[must_use]
    pub fn field(field: Field, problem: FieldError) -> Self {
        Self::Fields(vec![(field, problem)])
    }

    /// The HTTP status of the response (RFC 9110).
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Fields(_) => 422,
            Self::WrongCredentials | Self::SignedOut => 401,
            Self::NotFound | Self::MechaNotFound | Self::RuntimeNotFound => 404,
            Self::RuntimeSilent => 504,
            Self::LimitReached { .. } | Self::MechaLimitReached | Self::KeyExpired | Self::Rotating => 409,
            Self::SignUpsClosed => 403,
            Self::TooManyAttempts { .. } => 429,
            Self::Unavailable => 503,
            Self::Malformed => 400,
            Self::Internal => 500,
        }
    }

    /// Seconds to wait before the next attempt (`Retry-After`); `None` if waiting does not help.
    #[must_use]
    pub fn retry_after(&self) -> Option<u32> {
        match self {
            Self::TooManyAttempts { retry_after } => Some(*retry_after),
            Self::Unavailable => Some(1),
            _ => None,
        }
    }
}

/// Collects the field errors of a form, so that one response reports all of them.
#[derive(Debug, Default)]
pub struct FieldErrors(Vec<(Field, FieldError)>);

impl FieldErrors {
    /// Returns the parsed value. On an error, records it for this field and returns `None`.
    pub fn check<T>(&mut self, field: Field, parsed: Result<T, FieldError>) -> Option<T> {
        self.collect(parsed.map_err(|problem| (field, problem)))
    }

    /// Returns the parsed value. On an error, records it and returns `None`.
    pub fn collect<T>(&mut self, parsed: Result<T, (Field, FieldError)>) -> Option<T> {
        parsed.map_err(|problem| self.0.push(problem)).ok()
    }
}

impl From<FieldErrors> for ConsoleError {
    fn from(errors: FieldErrors) -> Self {
        Self::Fields(errors.0)
    }
}
