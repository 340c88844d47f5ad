//! What a key has access to: everything, or what its scopes allow.

use super::field_error::FieldError;
use serde::{Deserialize, Serialize};

/// The scope for calling Mechas, which every console offers.
pub const TRIGGER: &str = "trigger";

/// A scope token (RFC 6749, section 3.3): printable ASCII without spaces, quotation marks and backslashes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scope(String);

impl Scope {
    /// Maximum length in bytes.
    pub const MAX: usize = 60;

    /// Parses a scope token.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_token = text.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        (is_token && (1..=Self::MAX).contains(&text.len())).then(|| Self(text.to_owned()))
    }

    /// The token.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What a key has access to. Serialized as the list of its scopes, or as null for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Option<Vec<Scope>>", into = "Option<Vec<Scope>>")]
pub enum Access {
    /// Everything.
    #[default]
    Everything,
    /// Only what these scopes allow. An empty list allows nothing that requires a scope.
    Scopes(Vec<Scope>),
}

impl Access {
    /// The form value for everything.
    pub const EVERYTHING: &str = "everything";
    /// The form value for chosen scopes.
    pub const CHOSEN: &str = "chosen";

    /// Parses the form values of [`Field::Access`](super::field_error::Field::Access) and
    /// [`Field::Scopes`](super::field_error::Field::Scopes).
    ///
    /// # Errors
    /// Why the choice is invalid.
    pub fn parse(access: &str, scopes: &[String]) -> Result<Self, FieldError> {
        match access {
            Self::EVERYTHING => Ok(Self::Everything),
            Self::CHOSEN if scopes.is_empty() => Err(FieldError::NoneChosen),
            Self::CHOSEN => {
                let scopes = scopes.iter().map(|scope| Scope::parse(scope)).collect::<Option<_>>();
                scopes.map(Self::Scopes).ok_or(FieldError::NotOnOffer)
            }
            _ => Err(FieldError::NotOnOffer),
        }
    }

    /// The scopes of a restricted key; `None` if it has access to everything.
    #[must_use]
    pub fn scopes(&self) -> Option<&[Scope]> {
        match self {
            Self::Everything => None,
            Self::Scopes(scopes) => Some(scopes),
        }
    }

    /// The text under which it is stored: the scopes separated by spaces; `None` for everything.
    #[must_use]
    pub fn to_text(&self) -> Option<String> {
        self.scopes().map(|scopes| scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(" "))
    }

    /// The form value of the access that a form shows: its scopes, or [`Self::EVERYTHING`].
    #[must_use]
    pub fn shown(&self) -> String {
        self.to_text().unwrap_or_else(|| Self::EVERYTHING.to_owned())
    }

    /// Parses the stored text.
    #[must_use]
    pub fn from_text(text: Option<&str>) -> Self {
        text.map_or(Self::Everything, |text| Self::Scopes(text.split(' ').filter_map(Scope::parse).collect()))
    }
}

impl From<Option<Vec<Scope>>> for Access {
    fn from(scopes: Option<Vec<Scope>>) -> Self {
        scopes.map_or(Self::Everything, Self::Scopes)
    }
}

impl From<Access> for Option<Vec<Scope>> {
    fn from(access: Access) -> Self {
        match access {
            Access::Everything => None,
            Access::Scopes(scopes) => Some(scopes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_a_token_of_rfc_6749() {
        for scope in ["a", "chat:write", "https://example.com/read", "!#[]~", &"x".repeat(60)] {
            assert_eq!(Scope::parse(scope).map(|scope| scope.0).as_deref(), Some(scope));
        }
        for text in ["", " ", "a b", "a\"", "a\\b", "é", "a\n", "a\u{7f}", &"x".repeat(61)] {
            assert_eq!(Scope::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn access_is_everything_or_at_least_one_scope() {
        let parse = |access, scopes: &[&str]| {
            Access::parse(access, &scopes.iter().map(|&scope| scope.to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(parse("everything", &["read"]), Ok(Access::Everything));
        assert_eq!(parse("chosen", &["read", "write"]), Ok(Access::from_text(Some("read write"))));
        assert_eq!(parse("chosen", &[]), Err(FieldError::NoneChosen));
        for (access, scopes) in [("chosen", "a b"), ("chosen", ""), ("", "read"), ("Everything", "read")] {
            assert_eq!(parse(access, &[scopes]), Err(FieldError::NotOnOffer), "{access} {scopes}");
        }
    }

    #[test]
    fn access_is_stored_as_text() {
        let scopes = Access::from_text(Some("chat:read chat:write"));
        assert_eq!(scopes.scopes().map(<[Scope]>::len), Some(2));
        assert_eq!(scopes.to_text().as_deref(), Some("chat:read chat:write"));
        assert_eq!(Access::from_text(None), Access::Everything);
        assert_eq!(Access::from_text(Some("")), Access::Scopes(Vec::new()));
    }
}
