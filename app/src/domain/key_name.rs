//! The name of a key.

use super::unicode::{is_invisible, is_letter, nfc};
use crate::error::Problem;

/// A name that keeps the rules: 1 to [`KeyName::MAX`] characters in NFC without surrounding white
/// space, beginning with a letter of any script, and nothing invisible in it.
///
/// Unique within an account under Unicode case folding; that rule is the database's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyName(String);

impl KeyName {
    /// The longest name, in characters (Unicode scalar values) after normalization.
    pub const MAX: usize = 64;

    /// Reads a name as it was typed.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn parse(typed: &str) -> Result<Self, Problem> {
        let name = nfc(typed.trim());
        let length = name.chars().count();
        let Some(first) = name.chars().next() else { return Err(Problem::Empty) };
        if name.chars().any(is_invisible) {
            Err(Problem::Invisible)
        } else if !is_letter(first) {
            Err(Problem::MustBeginWithLetter)
        } else if length > Self::MAX {
            Err(Problem::TooLong { is: length, max: Self::MAX })
        } else {
            Ok(Self(name))
        }
    }

    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether somebody who was asked to re-enter `name` has typed it: exactly, but for white space
    /// around it and for how its accents are encoded.
    #[must_use]
    pub fn is_reentered(name: &str, typed: &str) -> bool {
        nfc(typed.trim()) == name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::unicode::fold;
    use proptest::prelude::*;

    fn problem(typed: &str) -> Option<Problem> {
        KeyName::parse(typed).err()
    }

    #[test]
    fn names_of_many_scripts_are_taken() {
        for name in ["a", "CI/CD Pipeline", "API key 1", "Ключ сервера", "生产密钥", "مفتاح", "été", "K8s 🚀"]
        {
            assert_eq!(KeyName::parse(name).as_ref().map(KeyName::as_str), Ok(name));
        }
    }

    #[test]
    fn a_name_begins_with_a_letter() {
        for name in ["1key", "_key", "-", "🚀 launch", "'key'", "¹", "\u{301}e", "(a)"] {
            assert_eq!(problem(name), Some(Problem::MustBeginWithLetter), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_refused() {
        let hidden = [
            '\0',
            '\n',
            '\t',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{200b}',
            '\u{200d}',
            '\u{202e}',
            '\u{2028}',
            '\u{2066}',
            '\u{feff}',
            '\u{fe0f}',
            '\u{115f}',
            '\u{3164}',
            '\u{e000}',
            '\u{378}',
            '\u{e0041}',
            '\u{10ffff}',
        ];
        for c in hidden {
            assert_eq!(problem(&format!("a{c}b")), Some(Problem::Invisible), "{:04x}", u32::from(c));
        }
    }

    #[test]
    fn length_is_counted_in_characters_after_normalization() {
        assert!(KeyName::parse(&"é".repeat(64)).is_ok());
        assert!(KeyName::parse(&"e\u{301}".repeat(64)).is_ok());
        assert_eq!(problem(&"é".repeat(65)), Some(Problem::TooLong { is: 65, max: 64 }));
        assert_eq!(problem(""), Some(Problem::Empty));
        assert_eq!(problem(" \u{3000}\t"), Some(Problem::Empty));
    }

    #[test]
    fn a_name_is_re_entered_exactly() {
        assert!(KeyName::is_reentered("Été", " E\u{301}te\u{301} "));
        assert!(!KeyName::is_reentered("Été", "été"));
        assert!(!KeyName::is_reentered("Été", ""));
    }

    #[test]
    fn spellings_that_differ_in_case_or_encoding_fold_to_one() {
        for (one, other) in
            [("Straße", "STRASSE"), ("ΣΊΣΥΦΟΣ", "σίσυφος"), ("É", "e\u{301}"), ("K", "\u{212a}")]
        {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
        assert_ne!(fold("key 1"), fold("key 2"));
    }

    proptest! {
        #[test]
        fn any_text_is_either_refused_or_a_name_that_keeps_every_rule(typed in any::<String>()) {
            if let Ok(name) = KeyName::parse(&typed) {
                let text = name.as_str();
                prop_assert!((1..=KeyName::MAX).contains(&text.chars().count()));
                prop_assert!(text.chars().next().is_some_and(is_letter));
                prop_assert!(!text.chars().any(is_invisible));
                prop_assert_eq!(text, text.trim());
                prop_assert_eq!(text, nfc(text));
                prop_assert!(KeyName::is_reentered(text, &typed));
            }
        }

        #[test]
        fn a_name_that_was_taken_is_taken_again_unchanged(typed in "\\p{L}[\\p{L}\\p{N}\\p{P} ]{0,70}") {
            if let Ok(name) = KeyName::parse(&typed) {
                prop_assert_eq!(KeyName::parse(name.as_str()), Ok(name.clone()));
            }
        }

        #[test]
        fn one_hidden_character_anywhere_spoils_any_name(
            before in "\\p{L}[\\p{L} ]{0,20}",
            hidden in "[\\p{Cc}\\p{Cf}\\p{Co}]",
            after in "\\p{L}{1,20}",
        ) {
            prop_assert_eq!(problem(&format!("{before}{hidden}{after}")), Some(Problem::Invisible));
        }

        #[test]
        fn folding_is_blind_to_case(name in "\\p{L}{1,20}") {
            prop_assert_eq!(fold(&fold(&name)), fold(&name));
            prop_assert_eq!(fold(&name.to_ascii_uppercase()), fold(&name.to_ascii_lowercase()));
        }
    }
}
