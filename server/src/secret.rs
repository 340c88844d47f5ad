//! The secret of an API key: its format, checksum and digest.
//!
//! A secret consists of a prefix (by default `mm_tok_`), 32 base62 characters (190 bits from the operating system's
//! random number generator), and 6 base62 digits of a CRC32 over everything before them. The checksum detects typing
//! errors without a lookup, and lets secret scanners recognize a key. It does not authenticate anything.

use rand::CryptoRng;
use rand::distr::{Alphanumeric, SampleString};
use sha2::{Digest, Sha256};
use std::fmt;

/// Number of random characters: 32 × log2(62) = 190.5 bits (OWASP ASVS 5.0, 11.5.1 requires 128).
const RANDOM_LENGTH: usize = 32;
/// Number of characters of the checksum: 62^6 > 2^32.
const CHECKSUM_LENGTH: usize = 6;
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The prefix of a secret: `[a-z][a-z0-9]*(_[a-z0-9]+)*_`. It contains only letters, digits and underscores, so that a
/// double click selects the whole secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix(String);

impl Prefix {
    /// Maximum length, in characters.
    pub const MAX: usize = 32;

    /// Parses a prefix.
    ///
    /// # Errors
    /// A description of the required format.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_part = |part: &str| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        };
        let is_prefix = text.len() <= Self::MAX
            && text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.strip_suffix('_').is_some_and(|parts| parts.split('_').all(is_part));
        if is_prefix {
            Ok(Self(text.to_owned()))
        } else {
            Err("must start with a lower-case letter, consist of parts of lower-case letters and digits that each \
                 end with an underscore, and have at most 32 characters; for example mm_tok_"
                .to_owned())
        }
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The prefixes that one instance accepts.
#[derive(Clone, Debug, Default)]
pub struct Prefixes {
    /// The prefix of new secrets.
    pub current: Prefix,
    /// Earlier prefixes. Secrets with these prefixes stay valid.
    pub previous: Vec<Prefix>,
}

impl Prefixes {
    fn iter(&self) -> impl Iterator<Item = &Prefix> {
        std::iter::once(&self.current).chain(&self.previous)
    }

    /// Whether secrets with this prefix are accepted.
    #[must_use]
    pub fn has(&self, prefix: &str) -> bool {
        self.iter().any(|known| known.0 == prefix)
    }
}

impl Default for Prefix {
    fn default() -> Self {
        Self("mm_tok_".to_owned())
    }
}

/// A plaintext secret. Its `Debug` output is redacted.
#[derive(Clone, PartialEq, Eq)]
pub struct PlainSecret(String);

impl PlainSecret {
    /// Generates a secret.
    pub fn generate(prefix: &Prefix, rng: &mut impl CryptoRng) -> Self {
        let mut secret = prefix.0.clone();
        Alphanumeric.append_string(rng, &mut secret, RANDOM_LENGTH);
        secret.extend(checksum(&secret).map(char::from));
        Self(secret)
    }

    /// The plaintext, for the one response that contains it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The last four characters, by which the owner can identify the secret.
    #[must_use]
    pub fn last_four(&self) -> &str {
        self.0.len().checked_sub(4).and_then(|start| self.0.get(start..)).unwrap_or_default()
    }

    /// The digest, which is stored instead of the secret.
    #[must_use]
    pub fn digest(&self) -> SecretDigest {
        SecretDigest(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl fmt::Debug for PlainSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PlainSecret(…)")
    }
}

/// The SHA-256 digest of a whole secret. A secret of 190 random bits needs no slow hash. A slow hash on every request
/// would allow denial-of-service attacks.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecretDigest([u8; 32]);

impl SecretDigest {
    /// The digest with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes that are stored.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl SecretDigest {
    /// The digest of a secret that a client presented. Returns `None` if the prefix, the format or the checksum is
    /// wrong. This check need not run in constant time, because it depends on no stored secret.
    #[must_use]
    pub fn parse_presented(prefixes: &Prefixes, presented: &str) -> Option<Self> {
        let is_secret = |prefix: &Prefix| {
            presented.strip_prefix(&prefix.0).is_some_and(|body| {
                body.len() == RANDOM_LENGTH + CHECKSUM_LENGTH
                    && body.bytes().all(|b| b.is_ascii_alphanumeric())
            })
        };
        if !prefixes.iter().any(is_secret) {
            return None;
        }
        let (body, digits) = presented.split_at_checked(presented.len() - CHECKSUM_LENGTH)?;
        (checksum(body) == digits.as_bytes()).then(|| Self(Sha256::digest(presented.as_bytes()).into()))
    }
}

impl fmt::Debug for SecretDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretDigest(…)")
    }
}

/// CRC32 (IEEE 802.3) as six base62 digits, most significant first.
fn checksum(body: &str) -> [u8; CHECKSUM_LENGTH] {
    let mut remaining = crc32fast::hash(body.as_bytes()) as usize;
    let mut digits = [b'0'; CHECKSUM_LENGTH];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62.get(remaining % BASE62.len()).copied().unwrap_or(b'0');
        remaining /= BASE62.len();
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::rand_core::UnwrapErr;
    use rand::rngs::SysRng;

    fn generate() -> PlainSecret {
        PlainSecret::generate(&Prefix::default(), &mut UnwrapErr(SysRng))
    }

    #[test]
    fn a_generated_secret_has_the_documented_format_and_is_accepted() {
        let secret = generate();
        let text = secret.reveal();
        assert_eq!((text.len(), text.starts_with("mm_tok_")), (7 + 32 + 6, true));
        assert!(text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'));
        assert_eq!(SecretDigest::parse_presented(&Prefixes::default(), text), Some(secret.digest()));
        assert!(text.ends_with(secret.last_four()) && secret.last_four().len() == 4);
    }

    #[test]
    fn a_million_secrets_are_unique_and_their_characters_are_uniformly_distributed() {
        const COUNT: usize = 1_000_000;
        let (prefix, mut rng) = (Prefix::default(), crate::random::system_rng());
        let mut seen = std::collections::HashSet::with_capacity(COUNT);
        let mut counts = [[0_u32; 128]; RANDOM_LENGTH];
        for _ in 0..COUNT {
            let secret = PlainSecret::generate(&prefix, &mut rng);
            let body = &secret.reveal().as_bytes()[prefix.0.len()..][..RANDOM_LENGTH];
            body.iter().zip(&mut counts).for_each(|(character, at)| at[usize::from(*character)] += 1);
            assert!(seen.insert(body.to_owned()));
        }
        // 61 degrees of freedom: a fair generator exceeds 140 at one position in ten million.
        let expected = COUNT as f64 / 62.0;
        for (position, at) in counts.iter().enumerate() {
            let characters = at.iter().filter(|count| **count > 0).count();
            let squares =
                at.iter().filter(|count| **count > 0).map(|count| (f64::from(*count) - expected).powi(2));
            let chi_squared = squares.sum::<f64>() / expected;
            assert!(characters == 62 && chi_squared < 140.0, "position {position}: {chi_squared:.1}");
        }
    }

    #[test]
    fn the_checksum_is_a_crc32_in_six_base62_digits() {
        // CRC-32/ISO-HDLC of "123456789" is 0xCBF43926 (Williams, 1993) = 3421780262 = "3jZRME" in base62.
        let value = "3jZRME"
            .bytes()
            .fold(0u64, |n, b| n * 62 + BASE62.iter().position(|digit| *digit == b).unwrap() as u64);
        assert_eq!((&checksum("123456789"), value), (b"3jZRME", 0xCBF4_3926));
    }

    #[test]
    fn secrets_with_a_configured_prefix_are_accepted_and_others_are_not() {
        let prefix = |text| Prefix::parse(text).unwrap();
        let prefixes = Prefixes { current: prefix("new_"), previous: vec![prefix("mm_"), prefix("mm_tok_")] };
        for known in ["new_", "mm_", "mm_tok_"] {
            let secret = PlainSecret::generate(&prefix(known), &mut UnwrapErr(SysRng));
            assert_eq!(SecretDigest::parse_presented(&prefixes, secret.reveal()), Some(secret.digest()));
        }
        let other = PlainSecret::generate(&prefix("other_"), &mut UnwrapErr(SysRng));
        assert_eq!(SecretDigest::parse_presented(&prefixes, other.reveal()), None);
    }

    #[test]
    fn the_debug_output_of_secrets_and_digests_is_redacted() {
        let secret = generate();
        assert_eq!(format!("{secret:?} {:?}", secret.digest()), "PlainSecret(…) SecretDigest(…)");
    }

    #[test]
    fn only_well_formed_prefixes_are_accepted() {
        for good in ["mm_tok_", "a_", "k9_x2_"] {
            assert!(Prefix::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "_",
            "mm",
            "mm_tok",
            "Mm_",
            "1a_",
            "a__b_",
            "_a_",
            "a-b_",
            "é_",
            &format!("{}_", "a".repeat(32)),
        ] {
            assert!(Prefix::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn one_wrong_character_at_any_position_is_rejected(position in 7usize..45, other in "[0-9A-Za-z]") {
            let secret = generate();
            let mut text = secret.reveal().to_owned();
            text.replace_range(position..=position, &other);
            prop_assert_eq!(SecretDigest::parse_presented(&Prefixes::default(), &text).is_some(), text == secret.reveal());
        }

        #[test]
        fn arbitrary_text_causes_no_panic_and_is_rejected(text in any::<String>()) {
            prop_assert_eq!(SecretDigest::parse_presented(&Prefixes::default(), &text), None);
            prop_assert_eq!(SecretDigest::parse_presented(&Prefixes::default(), &format!("mm_tok_{text}")), None);
        }
    }
}
