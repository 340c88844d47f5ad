//! A submitted form, and its result.

use crate::domain::api_key::KeyList;
use crate::domain::field_error::Field;
use crate::view::refusal::Refusal;

/// The entered values of a form: pairs of field name and value. Passwords are never part of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormValues(pub Vec<(String, String)>);

impl FormValues {
    /// The value with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(of, _)| of == name).map(|(_, value)| value.as_str())
    }

    /// All values with this name.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(of, _)| of == name).map(|(_, value)| value.as_str())
    }

    /// The value of this field; empty if it is missing.
    #[must_use]
    pub fn field(&self, field: Field) -> &str {
        self.get(field.name()).unwrap_or_default()
    }

    /// The value of this field, or `default` if it was not entered.
    #[must_use]
    pub fn field_or(&self, field: Field, default: &str) -> String {
        self.get(field.name()).unwrap_or(default).to_owned()
    }
}

/// The values of a form, and why they were rejected.
#[derive(Clone, Debug, Default)]
pub struct FormState {
    /// The entered values.
    pub typed: FormValues,
    /// Why the submission was rejected; empty without a submission.
    pub refusal: Refusal,
}

/// The result of a submitted form. The server puts it into the extensions of the request
/// for the page that it returns as the response.
#[derive(Clone, Debug)]
pub struct Submission {
    /// The entered values, to fill the form again.
    pub typed: FormValues,
    /// The list of keys after the action, or why the action failed.
    pub outcome: Result<KeyList, Refusal>,
}
