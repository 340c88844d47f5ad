//! The three questions about characters that the rules ask.
//!
//! The server answers them from ICU4X's tables. The browser has such tables of its own, behind
//! `String.prototype.normalize` and the `\p{…}` classes of its regular expressions; asking those
//! keeps such tables out of the WebAssembly. Where the two know different versions of
//! Unicode, the server's answer holds.

#[cfg(not(target_arch = "wasm32"))]
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

    /// The form in which two spellings that differ only in case, or in how their accents are
    /// encoded, are equal (canonical caseless matching, Unicode 17.0 section 3.13, D145).
    #[must_use]
    pub fn fold(text: &str) -> String {
        let nfd = DecomposingNormalizer::new_nfd();
        let folded = CaseMapper::new().fold_string(&nfd.normalize(text)).into_owned();
        nfd.normalize(&folded).into_owned()
    }
}

#[cfg(all(target_arch = "wasm32", feature = "hydrate"))]
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

#[cfg(not(target_arch = "wasm32"))]
pub use tables::fold;

/// Normalization Form C: one encoding for what looks the same (Unicode Standard Annex #15).
#[must_use]
pub fn nfc(text: &str) -> String {
    tables::nfc(text)
}

/// A letter of any script: general category L.
#[must_use]
pub fn is_letter(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_alphabetic() } else { tables::is_letter(c) }
}

/// A character that nobody sees, or that changes how others are seen: control, format (bidirectional
/// overrides and zero-width joiners among them), line and paragraph separators, private use,
/// unassigned, and whatever else a renderer ignores by default (`Default_Ignorable_Code_Point`).
#[must_use]
pub fn is_invisible(c: char) -> bool {
    if c.is_ascii() { c.is_ascii_control() } else { tables::is_invisible(c) }
}
