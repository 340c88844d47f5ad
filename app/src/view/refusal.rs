//! An error as the pages and the server functions under `/rpc` return it: with user-facing text.

use crate::domain::field_error::Field;
use crate::error::ConsoleError;
use crate::text;
use leptos::server_fn::codec::JsonEncoding;
use leptos::server_fn::error::{FromServerFnError, ServerFnErrorErr};
use serde::{Deserialize, Serialize};

/// A [`ConsoleError`] with its user-facing text.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// HTTP status of the response; 0 if there was no response.
    pub status: u16,
    /// User-facing message for the whole form; empty if `fields` contains all errors.
    pub detail: String,
    /// Field errors: the field's form name and the user-facing message.
    pub fields: Vec<(String, String)>,
    /// Seconds to wait before the next attempt; 0 if waiting is not necessary.
    pub retry_after: u32,
}

impl Refusal {
    /// The message for this field, if it has an error.
    #[must_use]
    pub fn of(&self, field: Field) -> Option<&str> {
        self.fields.iter().find(|(of, _)| of == field.name()).map(|(_, problem)| problem.as_str())
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
