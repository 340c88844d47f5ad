//! API keys as their owner sees them.

use super::timestamp::{DAY, Timestamp, span};
use serde::{Deserialize, Serialize};

/// How many keys that have not expired an account may have.
pub const LIMIT: u32 = 10;
/// A key that expires sooner than this is marked, in milliseconds.
pub const EXPIRING_SOON: i64 = 7 * DAY;
/// How long an expired key stays listed before it is cleared away, in milliseconds.
pub const EXPIRED_KEPT_FOR: i64 = 30 * DAY;

/// Public handle of a key: a UUID as 32 lower-case hex digits. Safe in logs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl KeyId {
    /// Reads a handle; hex digits of either case are the same handle.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        (text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit()))
            .then(|| Self(text.to_ascii_lowercase()))
    }

    /// The 32 digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether a key is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It is let in.
    Active,
    /// Its owner switched it off; it is refused until switched on again.
    Inactive,
    /// It is past its expiry and refused for ever.
    Expired,
}

/// One key in its owner's list. The secret is not part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Its public handle.
    pub id: KeyId,
    /// What its owner calls it.
    pub name: String,
    /// What its owner noted about it; may be empty, may have line breaks.
    pub description: String,
    /// The last four characters of its secret.
    pub last_four: String,
    /// The secret that this one has taken the place of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<OldSecret>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it expires; `None` means never.
    pub expires_at: Option<Timestamp>,
    /// When it was last let in, to the minute; `None` means never.
    pub last_used_at: Option<Timestamp>,
    /// Where it was last used from: the address, and what the program says it is.
    pub last_used_from: Option<String>,
    /// The switch.
    pub active: bool,
    /// How the list shows it; empty where the page shows it already.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub html: String,
}

/// A secret whose place another has taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldSecret {
    /// Its last four characters.
    pub last_four: String,
    /// From when on it is refused.
    pub until: Timestamp,
    /// Whether it is also refused once the new one is used.
    pub ends_on_use: bool,
}

impl ApiKey {
    /// The old secret, while it works beside the new one.
    #[must_use]
    pub fn working_old(&self, now: Timestamp) -> Option<&OldSecret> {
        let is_live = self.status(now) != Status::Expired;
        self.old.as_ref().filter(|old| is_live && old.until > now)
    }

    /// At the very instant of its expiry a key is expired.
    #[must_use]
    pub fn status(&self, now: Timestamp) -> Status {
        if self.expires_at.is_some_and(|at| at <= now) {
            Status::Expired
        } else if self.active {
            Status::Active
        } else {
            Status::Inactive
        }
    }

    /// How long it still lives (`6d 10h`); `None` if it never expires or has expired.
    #[must_use]
    pub fn remaining(&self, now: Timestamp) -> Option<String> {
        self.expires_at.filter(|at| *at > now).map(|at| span(at.0 - now.0))
    }

    /// Whether it expires within [`EXPIRING_SOON`].
    #[must_use]
    pub fn is_expiring_soon(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at > now && at < now.plus(EXPIRING_SOON))
    }
}

/// All keys of an account, newest first and the expired ones last, as they were at `now`: the state of
/// Settings → API Keys, with which every action on keys answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyList {
    /// The server's clock when it answered.
    pub now: Timestamp,
    /// The keys in the order in which they are shown.
    pub keys: Vec<ApiKey>,
    /// The secret of a key in the list that was just made: once, and to nobody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<NewSecret>,
}

impl KeyList {
    /// How many keys count towards [`LIMIT`].
    #[must_use]
    pub fn live_count(&self) -> u32 {
        let live = self.keys.iter().filter(|key| key.status(self.now) != Status::Expired).count();
        u32::try_from(live).unwrap_or(u32::MAX)
    }

    /// Whether there is no room for another key.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.live_count() >= LIMIT
    }

    /// The key with this handle.
    #[must_use]
    pub fn find(&self, id: &KeyId) -> Option<&ApiKey> {
        self.keys.iter().find(|key| key.id == *id)
    }

    /// A name that is not taken: `API key 1`, `API key 2`, ….
    #[must_use]
    pub fn free_name(&self) -> String {
        (1..)
            .map(crate::text::default_key_name)
            .find(|name| !self.keys.iter().any(|key| key.name.eq_ignore_ascii_case(name)))
            .unwrap_or_default()
    }
}

/// The secret of a key just made. The only value that ever carries one to a browser.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSecret {
    /// The key.
    pub id: KeyId,
    /// The credential itself.
    pub secret: String,
}

impl std::fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewSecret").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::timestamp::HOUR;

    const NOW: Timestamp = Timestamp(1_795_257_125_000);

    fn key(name: &str, expires_at: Option<Timestamp>) -> ApiKey {
        ApiKey {
            id: KeyId("0".repeat(32)),
            name: name.to_owned(),
            description: String::new(),
            last_four: "abcd".to_owned(),
            old: None,
            created_at: NOW,
            expires_at,
            last_used_at: None,
            last_used_from: None,
            active: true,
            html: String::new(),
        }
    }

    #[test]
    fn at_the_instant_of_its_expiry_a_key_is_expired() {
        let end = NOW.plus(HOUR);
        let key = key("a", Some(end));
        assert_eq!(key.status(end.plus(-1)), Status::Active);
        assert_eq!(key.status(end), Status::Expired);
        assert_eq!(key.remaining(end), None);
    }

    #[test]
    fn a_key_is_marked_when_less_than_a_week_is_left() {
        assert!(!key("a", Some(NOW.plus(EXPIRING_SOON))).is_expiring_soon(NOW));
        assert!(key("a", Some(NOW.plus(EXPIRING_SOON - 1))).is_expiring_soon(NOW));
        assert!(!key("a", Some(NOW)).is_expiring_soon(NOW));
        assert!(!key("a", None).is_expiring_soon(NOW));
    }

    #[test]
    fn expired_keys_do_not_count() {
        let mut keys: Vec<_> = (0..9).map(|n| key(&format!("k{n}"), None)).collect();
        keys.push(key("old", Some(NOW)));
        let mut list = KeyList { now: NOW, keys, new: None };
        assert_eq!((list.live_count(), list.is_full()), (9, false));
        list.keys.push(key("new", Some(NOW.plus(1))));
        assert!(list.is_full());
    }

    #[test]
    fn the_name_on_offer_is_free_in_any_spelling() {
        let keys = vec![key("API KEY 1", None), key("API key 3", None)];
        assert_eq!(KeyList { now: NOW, keys, new: None }.free_name(), "API key 2");
    }

    #[test]
    fn a_handle_is_32_hex_digits() {
        assert!(KeyId::parse(&"aF0".repeat(11)[..32]).is_some_and(|id| id.as_str().starts_with("af0")));
        for text in ["", "g", &"0".repeat(31), &"0".repeat(33), &"é".repeat(16)] {
            assert_eq!(KeyId::parse(text), None);
        }
    }

    #[test]
    fn a_new_secret_does_not_print_itself() {
        let id = KeyId("0".repeat(32));
        let new = NewSecret { id, secret: "mm_tok_secret".to_owned() };
        assert!(!format!("{new:?}").contains("mm_tok"));
    }
}
