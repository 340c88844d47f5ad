//! The text form of ids.

/// Parses 32 hex digits, and converts them to lower case.
pub(super) fn parse(text: &str) -> Option<String> {
    (text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit())).then(|| text.to_ascii_lowercase())
}
