//! The Unicode operations that the validation rules need.
//!
//! The server uses the tables of ICU4X. The browser uses its own implementation: `String.prototype.normalize` and the
//! `\p{…}` classes of regular expressions. That keeps the tables out of the WebAssembly. The two may implement
//! different versions of Unicode. The server validates every request again, so its result is authoritative.

#[cfg(feature = "ssr")]
mod tables {
    use icu_casemap::CaseMapper;
    use icu_normalizer::{ComposingNormalizer, DecomposingNormalizer};
    use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory};
    use icu_properties::{CodePointMapData, CodePointSetData};

    pub(super) fn nfc(text: &str) -> String {
        ComposingNormalizer::new_nfc().normalize(text).into_owned()
    }

    pub(super) fn is_letter(c: char) -> bool {
        use GeneralCategory::{
            LowercaseLetter, ModifierLetter, OtherLetter, TitlecaseLetter, UppercaseLetter,
        };
        matches!(
            CodePointMapData::<GeneralCategory>::new().get(c),
            UppercaseLetter | LowercaseLetter | TitlecaseLetter | ModifierLetter | OtherLetter
        )
    }

    pub(super) fn is_invisible(c: char) -> bool {
        use GeneralCategory::{
            Control, Format, LineSeparator, ParagraphSeparator, PrivateUse, Surrogate, Unassigned,
        };
        matches!(
            CodePointMapData::<GeneralCategory>::new().get(c),
            Control | Format | LineSeparator | ParagraphSeparator | PrivateUse | Surrogate | Unassigned
        ) || CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c)
    }

    /// Folds text for comparison: texts that differ only in case or in canonical encoding fold to the same text
    /// (canonical caseless matching, Unicode 17.0 section 3.13, D145).
    #[must_use]
    pub fn fold(text: &str) -> String {
        let nfd = DecomposingNormalizer::new_nfd();
        let folded = CaseMapper::new().fold_string(&nfd.normalize(text)).into_owned();
        nfd.normalize(&folded).into_owned()
    }
}

#[cfg(not(feature = "ssr"))]
mod tables {
    use js_sys::{JsString, RegExp};

    pub(super) fn nfc(text: &str) -> String {
        JsString::from(text).normalize("NFC").into()
    }

    pub(super) fn is_letter(c: char) -> bool {
        RegExp::new("\\p{L}", "u").test(c.encode_utf8(&mut [0; 4]))
    }

    pub(super) fn is_invisible(c: char) -> bool {
        RegExp::new("[\\p{C}\\p{Zl}\\p{Zp}\\p{DI}]", "u").test(c.encode_utf8(&mut [0; 4]))
    }
}

#[cfg(feature = "ssr")]
pub use tables::fold;

/// Normalizes text to Normalization Form C, so that canonically equivalent texts are equal (Unicode Standard
/// Annex #15).
#[must_use]
pub fn nfc(text: &str) -> String {
    tables::nfc(text)
}

/// Whether `c` is a letter of any script (general category L).
#[must_use]
pub fn is_letter(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphabetic() } else { tables::is_letter(c) }
}

/// Whether `c` is invisible or changes how other characters are displayed: control, format (including bidirectional
/// overrides and zero-width joiners), line and paragraph separators, private use, surrogate, unassigned, and
/// `Default_Ignorable_Code_Point`.
#[must_use]
pub fn is_invisible(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_control() } else { tables::is_invisible(c) }
}
