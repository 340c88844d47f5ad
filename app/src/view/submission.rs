//! The initial state of a page: plain, with a dialog from the URL open, or as the response to a form that was submitted
//! without JavaScript.

use crate::domain::api_key::KeyList;
use crate::domain::field_error::Field;
use crate::view::refusal::Refusal;
use serde::Serialize;

/// The entered values of a form: pairs of field name and value. Passwords are never part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct FormValues(pub Vec<(String, String)>);

impl FormValues {
    /// Builds the values from fields.
    #[must_use]
    pub fn of(fields: &[(Field, &str)]) -> Self {
        Self(fields.iter().map(|(field, value)| (field.name().to_owned(), (*value).to_owned())).collect())
    }

    /// The value with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
    }

    /// The value of this field; empty if it is missing.
    #[must_use]
    pub fn field(&self, field: Field) -> &str {
        self.get(field.name()).unwrap_or_default()
    }

    /// Sets the value of this field.
    pub fn set(&mut self, field: Field, value: String) {
        self.0.retain(|(of, _)| of != field.name());
        self.0.push((field.name().to_owned(), value));
    }

    /// Adds the values of `other` whose names are missing here.
    pub fn or(&mut self, other: Self) {
        for (name, value) in other.0 {
            if self.get(&name).is_none() {
                self.0.push((name, value));
            }
        }
    }
}

/// The result of a form that was submitted without JavaScript. The server puts it into the extensions of the request
/// for the page that it returns as the response.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The entered values, to fill the form again.
    pub typed: FormValues,
    /// The list of keys after the action, or why the action failed.
    pub outcome: Result<KeyList, Refusal>,
}

/// The HTML attribute that contains [`Page`] as JSON.
pub const PAGE_STATE: &str = "data-page";

/// The initial state of Settings → API Keys. Fields without a value are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Page {
    /// The account's keys.
    pub list: KeyList,
    /// The origin of this console, for the examples: `https://keys.example.com`.
    pub origin: String,
    /// The name of the open dialog, as in the URL.
    pub dialog: String,
    /// The id of the key that the dialog is for.
    pub key_id: String,
    /// The entered values of the dialog's form.
    pub typed: FormValues,
    /// Why the submission was rejected.
    pub refusal: Refusal,
    /// The success message of the action that led to this page.
    pub done: String,
}

/// HTML fragment with the usage of the key that the open dialog is for.
#[derive(Clone, Debug, Default)]
pub struct UsageHtml(pub String);
