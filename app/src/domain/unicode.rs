//! The Unicode operations that the validation rules need.
//!
//! The server uses the tables of ICU4X. The browser uses its own implementation: `String.prototype.normalize` and the
//! `\p{…}` classes of regular expressions. That keeps the tables out of the WebAssembly. The two may implement
//! different versions of Unicode. The server validates every request again, so its result is authoritative.

#[cfg(feature = "ssr")]
mod tables {
    use icu_casemap::CaseMapper;
    use icu_normalizer::{ComposingNormalizer, DecomposingNormalizer};
    use icu_properties::props::{
        DefaultIgnorableCodePoint, ExtendedPictographic, GeneralCategory, JoiningType,
    };
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

    pub(super) fn is_pictographic(c: char) -> bool {
        CodePointSetData::new::<ExtendedPictographic>().contains(c)
    }

    pub(super) fn is_mark(c: char) -> bool {
        CodePointMapData::<GeneralCategory>::new().get(c) == GeneralCategory::NonspacingMark
    }

    pub(super) fn is_joining(c: char) -> bool {
        let kind = CodePointMapData::<JoiningType>::new().get(c);
        matches!(kind, JoiningType::DualJoining | JoiningType::LeftJoining | JoiningType::RightJoining)
    }

    /// Folds text for comparison: texts that differ only in case or in canonical encoding fold to the same text
    /// (canonical caseless matching, Unicode 17.0 section 3.13, D145).
    #[must_use]
    pub fn fold(text: &str) -> String {
        let nfd = DecomposingNormalizer::new_nfd();
        let folded = CaseMapper::new().fold_string(&nfd.normalize(text)).into_owned();
        // Texts that differ only in joiners and variation selectors look the same.
        let visible: String = folded.chars().filter(|c| !is_invisible(*c)).collect();
        nfd.normalize(&visible).into_owned()
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

    pub(super) fn is_pictographic(c: char) -> bool {
        RegExp::new("\\p{ExtPict}", "u").test(c.encode_utf8(&mut [0; 4]))
    }

    pub(super) fn is_mark(c: char) -> bool {
        RegExp::new("\\p{Mn}", "u").test(c.encode_utf8(&mut [0; 4]))
    }

    /// Browsers have no class for the joining type. These are the scripts whose letters join.
    pub(super) fn is_joining(c: char) -> bool {
        RegExp::new("(?=\\p{L})[\\p{sc=Arab}\\p{sc=Syrc}\\p{sc=Mong}\\p{sc=Nkoo}\\p{sc=Mand}\\p{sc=Adlm}\\p{sc=Rohg}]", "u")
            .test(c.encode_utf8(&mut [0; 4]))
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

/// Whether one of the characters is invisible (see [`is_invisible`]), except for characters that belong to their
/// neighbours: a variation selector or a joiner in an emoji sequence (UTS 51), and joiners that Persian and the Indic
/// scripts need (UAX 31, section 2.3, rules A1, A2 and B).
#[must_use]
pub fn has_stray_invisible(text: &str) -> bool {
    let characters: Vec<char> = text.chars().collect();
    (0..characters.len()).any(|at| {
        // The blank Braille pattern is a symbol, and invisible.
        let is_invisible = |c: &char| is_invisible(*c) || *c == '\u{2800}';
        characters.get(at).is_some_and(is_invisible) && !belongs_to_neighbours(&characters, at)
    })
}

fn belongs_to_neighbours(characters: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| characters.get(before)).copied();
    let after = characters.get(at + 1).copied();
    let (Some(c), Some(before)) = (characters.get(at), before) else { return false };
    match c {
        // The second case is a keycap, such as 1️⃣.
        '\u{fe0e}' | '\u{fe0f}' => {
            (!before.is_ascii() && tables::is_pictographic(before))
                || (matches!(before, '0'..='9' | '#' | '*') && after == Some('\u{20e3}'))
        }
        '\u{200d}' if is_virama(before) => true,
        '\u{200d}' => {
            let is_emoji =
                matches!(before, '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}') || tables::is_pictographic(before);
            is_emoji && after.is_some_and(tables::is_pictographic)
        }
        '\u{200c}' if is_virama(before) => after.is_some_and(is_letter),
        // Vowel marks between the letters are transparent.
        '\u{200c}' => {
            let is_base = |c: &&char| !tables::is_mark(**c);
            let joins = |c: Option<&char>| c.is_some_and(|c| tables::is_joining(*c));
            let (earlier, later) =
                (characters.get(..at).unwrap_or_default(), characters.get(at + 1..).unwrap_or_default());
            joins(earlier.iter().rev().find(is_base)) && joins(later.iter().find(is_base))
        }
        _ => false,
    }
}

/// The viramas of the Indic scripts (canonical combining class 9) in current use.
fn is_virama(c: char) -> bool {
    matches!(
        c,
        '\u{94d}'
            | '\u{9cd}'
            | '\u{a4d}'
            | '\u{acd}'
            | '\u{b4d}'
            | '\u{bcd}'
            | '\u{c4d}'
            | '\u{ccd}'
            | '\u{d4d}'
            | '\u{dca}'
            | '\u{f84}'
            | '\u{1039}'
            | '\u{17d2}'
            | '\u{1b44}'
    )
}
