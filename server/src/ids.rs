//! Ids: UUIDs of version 7 (RFC 9562), which sort by time, written as 32 hex digits.

use rand::CryptoRng;
use uuid::Uuid;

/// The 128 bits of a Key ID or of an account's id.
pub type Id = [u8; 16];

/// A new id. `now` is in milliseconds since 1970.
#[must_use]
pub fn new_id(now: i64, rng: &mut impl CryptoRng) -> String {
    let mut random = [0; 10];
    rng.fill_bytes(&mut random);
    let milliseconds = u64::try_from(now).unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(milliseconds, &random).into_uuid().simple().to_string()
}

/// The bits of an id that is written as 32 hex digits.
#[must_use]
pub fn parse_id(text: &str) -> Option<Id> {
    // With its hyphens it is another text, and too long.
    (text.len() == 32).then(|| Uuid::try_parse(text).ok().map(Uuid::into_bytes))?
}

/// An id as 32 hex digits.
#[must_use]
pub fn hex(id: &Id) -> String {
    Uuid::from_bytes(*id).simple().to_string()
}

/// The digits of an id.
#[must_use]
pub fn hex_digits(id: &Id) -> [u8; 32] {
    let mut digits = [0; 32];
    Uuid::from_bytes(*id).simple().encode_lower(&mut digits);
    digits
}
