//! Ids: UUIDs of version 7 (RFC 9562), which sort by creation time. Their text form is 32 lower-case hex digits.

use rand::CryptoRng;
use uuid::Uuid;

/// The 128 bits of a key id or an account id.
pub type Id = [u8; 16];

/// Generates an id. `now` is in milliseconds since 1970.
#[must_use]
pub fn new_id(now: i64, rng: &mut impl CryptoRng) -> String {
    let mut random = [0; 10];
    rng.fill_bytes(&mut random);
    let milliseconds = u64::try_from(now).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid().simple().to_string()
}

/// Parses an id of 32 hex digits. Returns `None` for any other text.
#[must_use]
pub fn parse_id(text: &str) -> Option<Id> {
    // `try_parse` also accepts the longer forms with hyphens or braces. The length check excludes them.
    (text.len() == 32).then(|| Uuid::try_parse(text).ok().map(Uuid::into_bytes))?
}

/// Parses a SHA-256 digest of 64 hex digits. Returns `None` for any other text.
#[must_use]
pub fn parse_digest(hex: &str) -> Option<[u8; 32]> {
    let (high, low) = hex.split_at_checked(32)?;
    let mut digest = [0; 32];
    let (first, second) = digest.split_at_mut(16);
    first.copy_from_slice(&parse_id(high)?);
    second.copy_from_slice(&parse_id(low)?);
    Some(digest)
}

/// Formats an id as 32 lower-case hex digits.
#[must_use]
pub fn hex(id: &Id) -> String {
    Uuid::from_bytes(*id).simple().to_string()
}

/// Formats an id as 32 lower-case hex digits in ASCII, without allocating.
#[must_use]
pub fn hex_digits(id: &Id) -> [u8; 32] {
    let mut digits = [0; 32];
    Uuid::from_bytes(*id).simple().encode_lower(&mut digits);
    digits
}
