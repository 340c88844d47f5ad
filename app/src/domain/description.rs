//! The description of a key.

use super::unicode::nfc;
use crate::domain::field_error::FieldError;

/// Free text of at most [`Description::MAX`] characters, in NFC. Line breaks are kept. Other control characters and
/// bidirectional control characters are rejected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description(String);

impl Description {
    /// Maximum length in characters (Unicode scalar values), after normalization.
    pub const MAX: usize = 200;

    /// Parses a description as entered. It may be empty.
    ///
    /// # Errors
    /// [`FieldError::Invisible`] or [`FieldError::TooLong`].
    pub fn parse(typed: &str) -> Result<Self, FieldError> {
        let text = Self::normalize(typed);
        let length = text.chars().count();
        if text.chars().any(|c| (c.is_control() && c != '\n') || is_bidi_control(c)) {
            Err(FieldError::Invisible)
        } else if length > Self::MAX {
            Err(FieldError::TooLong { is: length, max: Self::MAX })
        } else {
            Ok(Self(text))
        }
    }

    /// Length in characters, counted as [`Description::MAX`] counts.
    #[must_use]
    pub fn length(typed: &str) -> usize {
        Self::normalize(typed).chars().count()
    }

    /// The text as a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Converts CR LF, which forms send for a line break (HTML, form submission), to LF. Then trims the text and
    /// applies NFC.
    fn normalize(typed: &str) -> String {
        nfc(typed.replace('\r', "").trim())
    }
}

/// Bidirectional overrides, embeddings and isolates: they can change the order in which text is displayed
/// (CVE-2021-42574).
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_may_be_empty_and_may_have_line_breaks() {
        assert_eq!(Description::parse("").as_ref().map(Description::as_str), Ok(""));
        assert_eq!(Description::parse(" a\r\nb ").as_ref().map(Description::as_str), Ok("a\nb"));
    }

    #[test]
    fn a_description_has_at_most_200_characters() {
        assert!(Description::parse(&"ü".repeat(200)).is_ok());
        assert_eq!(Description::parse(&"x".repeat(201)), Err(FieldError::TooLong { is: 201, max: 200 }));
        assert_eq!(Description::length("a\r\nb"), 3);
    }

    #[test]
    fn control_characters_and_bidirectional_controls_are_rejected() {
        for text in ["a\u{202e}b", "a\u{2066}b", "a\0b", "a\u{1b}[31mb"] {
            assert_eq!(Description::parse(text), Err(FieldError::Invisible));
        }
    }
}
