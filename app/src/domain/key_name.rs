//! The name of a key.

use super::unicode::{has_stray_invisible, is_letter, nfc};
use crate::domain::field_error::FieldError;

/// A valid name: 1 to [`KeyName::MAX`] characters in NFC, without surrounding white space, and without invisible
/// characters except in emoji sequences and where a script needs them. The first character is a letter of any script.
///
/// Names are unique within an account under Unicode case folding. The database enforces that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyName(String);

impl KeyName {
    /// Maximum length in characters (Unicode scalar values), after normalization.
    pub const MAX: usize = 64;

    /// Parses a name as entered.
    ///
    /// # Errors
    /// The first rule that the name breaks: [`FieldError::Empty`], [`FieldError::Invisible`],
    /// [`FieldError::MustBeginWithLetter`] or [`FieldError::TooLong`], in this order.
    pub fn parse(typed: &str) -> Result<Self, FieldError> {
        let name = normalize(typed);
        let length = name.chars().count();
        let Some(first) = name.chars().next() else { return Err(FieldError::Empty) };
        if has_stray_invisible(&name) {
            Err(FieldError::Invisible)
        } else if !is_letter(first) {
            Err(FieldError::MustBeginWithLetter)
        } else if length > Self::MAX {
            Err(FieldError::TooLong { is: length, max: Self::MAX })
        } else {
            Ok(Self(name))
        }
    }

    /// The name as a string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the re-entered text `typed` matches `name`. The comparison is exact, but ignores surrounding white space,
    /// and differences that normalization removes.
    #[must_use]
    pub fn is_reentered(name: &str, typed: &str) -> bool {
        normalize(typed) == normalize(name)
    }
}

/// NFC, and one space for each run of white space between words: pages show a run as one space.
fn normalize(typed: &str) -> String {
    let words: Vec<&str> = typed.trim().split(is_space).filter(|word| !word.is_empty()).collect();
    nfc(&words.join(" "))
}

/// Spaces of any width. Line breaks and tabs are invisible characters instead.
fn is_space(c: char) -> bool {
    c.is_whitespace() && !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::unicode::fold;
    use proptest::prelude::*;

    fn problem(typed: &str) -> Option<FieldError> {
        KeyName::parse(typed).err()
    }

    #[test]
    fn names_in_any_script_are_accepted() {
        for name in [
            "a",
            "CI/CD Pipeline",
            "API key 1",
            "Ключ сервера",
            "生产密钥",
            "مفتاح",
            "été",
            "K8s 🚀",
            // Emoji sequences: variation selector, joiners, skin tone, keycap.
            "Love \u{2764}\u{fe0f}",
            "Team \u{1f469}\u{1f3fd}\u{200d}\u{1f4bb}",
            "Pride \u{1f3f3}\u{fe0f}\u{200d}\u{1f308}",
            "Top 1\u{fe0f}\u{20e3}",
            // Persian with a non-joiner, Hindi and Malayalam with a joiner and a non-joiner after a virama.
            "می\u{200c}خواهم",
            "مِ\u{200c}خ",
            "क्\u{200d}ष",
            "क्\u{200c}ष",
            "ന്\u{200d}",
        ] {
            assert_eq!(KeyName::parse(name).as_ref().map(KeyName::as_str), Ok(name));
        }
    }

    #[test]
    fn a_name_must_begin_with_a_letter() {
        for name in [
            "\u{2764}\u{fe0f} love",
            "1\u{fe0f}\u{20e3}",
            "1key",
            "_key",
            "-",
            "🚀 launch",
            "'key'",
            "¹",
            "\u{301}e",
            "(a)",
        ] {
            assert_eq!(problem(name), Some(FieldError::MustBeginWithLetter), "{name}");
        }
    }

    #[test]
    fn invisible_characters_are_rejected() {
        let invisible = [
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
            '\u{2800}',
        ];
        for c in invisible {
            assert_eq!(problem(&format!("a{c}b")), Some(FieldError::Invisible), "{:04x}", u32::from(c));
        }
        for name in [
            // Variation selectors and joiners between letters, at an end, doubled, and next to only one emoji.
            "a\u{fe0f}",
            "a1\u{fe0f}",
            "a\u{200c}b",
            "می\u{200c}",
            "می\u{200c}\u{200c}خ",
            "a \u{1f469}\u{200d}",
            "a \u{1f469}\u{200d}b",
            "a \u{2764}\u{fe0f}\u{fe0f}",
            "می\u{202b}خ",
        ] {
            assert_eq!(problem(name), Some(FieldError::Invisible), "{}", name.escape_unicode());
        }
    }

    #[test]
    fn length_is_counted_in_characters_after_normalization() {
        assert!(KeyName::parse(&"é".repeat(64)).is_ok());
        assert!(KeyName::parse(&"e\u{301}".repeat(64)).is_ok());
        assert_eq!(problem(&"é".repeat(65)), Some(FieldError::TooLong { is: 65, max: 64 }));
        assert_eq!(problem(""), Some(FieldError::Empty));
        assert_eq!(problem(" \u{3000}\t"), Some(FieldError::Empty));
    }

    #[test]
    fn a_re_entered_name_must_match_exactly() {
        assert!(KeyName::is_reentered("Été", " E\u{301}te\u{301} "));
        assert!(KeyName::is_reentered("a b", "a\u{a0} b"));
        assert_eq!(KeyName::parse("a \u{3000}b\u{a0}c").as_ref().map(KeyName::as_str), Ok("a b c"));
        assert!(!KeyName::is_reentered("Été", "été"));
        assert!(!KeyName::is_reentered("Été", ""));
    }

    #[test]
    fn names_that_differ_in_case_or_encoding_fold_to_the_same_text() {
        for (one, other) in
            [("Straße", "STRASSE"), ("ΣΊΣΥΦΟΣ", "σίσυφος"), ("É", "e\u{301}"), ("K", "\u{212a}")]
        {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
        assert_eq!(fold("\u{1f680}"), fold("\u{1f680}\u{fe0f}"));
        assert_ne!(fold("key 1"), fold("key 2"));
    }

    proptest! {
        #[test]
        fn every_accepted_name_obeys_every_rule(typed in any::<String>()) {
            if let Ok(name) = KeyName::parse(&typed) {
                let text = name.as_str();
                prop_assert!((1..=KeyName::MAX).contains(&text.chars().count()));
                prop_assert!(text.chars().next().is_some_and(is_letter));
                prop_assert!(!has_stray_invisible(text));
                prop_assert_eq!(text, text.trim());
                prop_assert_eq!(text, nfc(text));
                prop_assert!(KeyName::is_reentered(text, &typed));
            }
        }

        #[test]
        fn parsing_an_accepted_name_again_returns_the_same_name(typed in "\\p{L}[\\p{L}\\p{N}\\p{P} ]{0,70}") {
            if let Ok(name) = KeyName::parse(&typed) {
                prop_assert_eq!(KeyName::parse(name.as_str()), Ok(name.clone()));
            }
        }

        #[test]
        fn a_name_with_an_invisible_character_is_rejected(
            before in "\\p{L}[\\p{L} ]{0,20}",
            invisible in "[\\p{Cc}\\p{Cf}\\p{Co}]",
            after in "\\p{L}{1,20}",
        ) {
            prop_assert_eq!(problem(&format!("{before}{invisible}{after}")), Some(FieldError::Invisible));
        }

        #[test]
        fn folding_ignores_case(name in "\\p{L}{1,20}") {
            prop_assert_eq!(fold(&fold(&name)), fold(&name));
            prop_assert_eq!(fold(&name.to_ascii_uppercase()), fold(&name.to_ascii_lowercase()));
        }
    }
}
