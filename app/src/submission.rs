//! How a page begins: with nothing open, with a dialog that has an address, or as the answer to a form
//! that was sent without JavaScript.

use crate::domain::api_key::KeyList;
use crate::error::{Field, Refusal};
use serde::Serialize;

/// What was typed into the fields of a form. Passwords are never kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Typed(pub Vec<(String, String)>);

impl Typed {
    /// Fields with values.
    #[must_use]
    pub fn of(fields: &[(Field, &str)]) -> Self {
        Self(fields.iter().map(|(field, value)| (field.name().to_owned(), (*value).to_owned())).collect())
    }

    /// The value sent under this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
    }

    /// What was typed into this field.
    #[must_use]
    pub fn field(&self, field: Field) -> &str {
        self.get(field.name()).unwrap_or_default()
    }

    /// Puts a value in the place of the one that stood in this field.
    pub fn set(&mut self, field: Field, value: String) {
        self.0.retain(|(of, _)| of != field.name());
        self.0.push((field.name().to_owned(), value));
    }

    /// Adds those fields of `other` that are not there yet.
    pub fn or(&mut self, other: Self) {
        for (name, value) in other.0 {
            if self.get(&name).is_none() {
                self.0.push((name, value));
            }
        }
    }
}

/// What a form that was sent without JavaScript came to. It travels with the request for the page that
/// answers it, in that request's extensions.
#[derive(Clone, Debug)]
pub struct Submission {
    /// What was typed, so that nothing of it is lost.
    pub typed: Typed,
    /// The list with the key that was made, or why nothing was done.
    pub outcome: Result<KeyList, Refusal>,
}

/// The attribute in which [`Page`] comes with the document, as JSON.
pub const PAGE_STATE: &str = "data-page";

/// Everything that Settings → API Keys is made from. Where there is nothing to tell, fields are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Page {
    /// The account's keys.
    pub list: KeyList,
    /// The address of this console, for the examples: `https://keys.example.com`.
    pub origin: String,
    /// The dialog that is open, by its name in addresses.
    pub dialog: String,
    /// The key that it is about.
    pub key_id: String,
    /// What was typed into it.
    pub typed: Typed,
    /// Why that was refused.
    pub refusal: Refusal,
    /// What was just done.
    pub done: String,
}

/// The piece of the page that shows the traffic of the key that a dialog is about.
#[derive(Clone, Debug, Default)]
pub struct UsageHtml(pub String);
