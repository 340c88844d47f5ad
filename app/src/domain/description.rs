//! What a key is for, in its owner's words.

use super::unicode::nfc;
use crate::error::Problem;

/// Free text of at most [`Description::MAX`] characters, in NFC; line breaks are kept, other control
/// characters and bidirectional overrides are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description(String);

impl Description {
    /// The longest description, in characters (Unicode scalar values) after normalization.
    pub const MAX: usize = 200;

    /// Reads a description as it was typed. An empty one is a description too.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse(typed: &str) -> Result<Self, Problem> {
        let text = Self::normalize(typed);
        let length = text.chars().count();
        if text.chars().any(|c| (c.is_control() && c != '\n') || is_bidi_control(c)) {
            Err(Problem::Invisible)
        } else if length > Self::MAX {
            Err(Problem::TooLong { is: length, max: Self::MAX })
        } else {
            Ok(Self(text))
        }
    }

    /// How long a description is, counted as the rule counts.
    #[must_use]
    pub fn length(typed: &str) -> usize {
        Self::normalize(typed).chars().count()
    }

    /// The text itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Forms send line breaks as CR LF (HTML, form submission); here they are one character.
    fn normalize(typed: &str) -> String {
        nfc(typed.replace('\r', "").trim())
    }
}

/// Overrides, embeddings and isolates, which can make text read otherwise than it is (CVE-2021-42574).
fn is_bidi_control(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_may_be_empty_and_may_have_lines() {
        assert_eq!(Description::parse("").as_ref().map(Description::as_str), Ok(""));
        assert_eq!(Description::parse(" a\r\nb ").as_ref().map(Description::as_str), Ok("a\nb"));
    }

    #[test]
    fn two_hundred_characters_fit_and_one_more_does_not() {
        assert!(Description::parse(&"ü".repeat(200)).is_ok());
        assert_eq!(Description::parse(&"x".repeat(201)), Err(Problem::TooLong { is: 201, max: 200 }));
        assert_eq!(Description::length("a\r\nb"), 3);
    }

    #[test]
    fn text_that_would_read_otherwise_than_it_is_is_refused() {
        for text in ["a\u{202e}b", "a\u{2066}b", "a\0b", "a\u{1b}[31mb"] {
            assert_eq!(Description::parse(text), Err(Problem::Invisible));
        }
    }
}
