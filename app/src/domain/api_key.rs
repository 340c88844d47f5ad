//! API keys, as their owner sees them.

use super::access::Access;
use super::id;
use super::mecha::KeyOwner;
use super::timestamp::{DAY, Timestamp};
use serde::{Deserialize, Serialize};

/// A key that expires within this time is marked in the list. Milliseconds.
pub const EXPIRING_SOON: i64 = 7 * DAY;
/// How long an expired key stays in the list before it is deleted. Milliseconds.
pub const EXPIRED_KEY_RETENTION: i64 = 30 * DAY;

/// Public id of a key: a UUID as 32 lower-case hex digits. It is not secret and may be logged.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(String);

impl KeyId {
    /// Parses an id. Upper-case hex digits are accepted and converted to lower case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        id::parse(text).map(Self)
    }

    /// The 32 hex digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether requests with a key are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Requests are allowed.
    Active,
    /// The owner switched the key off. Requests are denied until it is switched on again.
    Inactive,
    /// The key has expired. Requests are denied permanently.
    Expired,
}

/// One key in its owner's list. It does not contain the secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKey {
    /// Public id.
    pub id: KeyId,
    /// The name that its owner chose.
    pub name: String,
    /// The owner's description. May be empty and may contain line breaks.
    pub description: String,
    /// The last four characters of the secret.
    pub last_four: String,
    /// The previous secret, if the key was rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<PreviousSecret>,
    /// When the key was created.
    pub created_at: Timestamp,
    /// When the key expires; `None` means never.
    pub expires_at: Option<Timestamp>,
    /// When a request with the key was last allowed, to the minute; `None` means never.
    pub last_used_at: Option<Timestamp>,
    /// The client that last used the key: IP address and `User-Agent`.
    pub last_used_from: Option<String>,
    /// Whether the owner has switched the key on.
    pub active: bool,
    /// What the key has access to.
    #[serde(default, rename = "scopes")]
    pub access: Access,
}

/// The previous secret of a rotated key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousSecret {
    /// The last four characters of the secret.
    pub last_four: String,
    /// When it expires.
    pub until: Timestamp,
    /// Whether it is also retired when the new secret is first used.
    pub ends_on_use: bool,
    /// When the key got its current secret.
    #[serde(default)]
    pub rotated_at: Timestamp,
    /// When a request with it was last allowed after the rotation, to the minute; `None` means never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// The client of that request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_from: Option<String>,
}

impl ApiKey {
    /// The previous secret, if it is still valid at `now`.
    #[must_use]
    pub fn valid_previous(&self, now: Timestamp) -> Option<&PreviousSecret> {
        let is_live = self.status(now) != Status::Expired;
        self.previous.as_ref().filter(|previous| is_live && previous.until > now)
    }

    /// The last use of the previous secret: time and client. A use before the rotation was also one of this secret.
    #[must_use]
    pub fn last_use_of_previous(&self) -> Option<(Timestamp, Option<&str>)> {
        let previous = self.previous.as_ref()?;
        let before = self.last_used_at.filter(|at| *at <= previous.rotated_at);
        let after = previous.last_used_at.map(|at| (at, previous.last_used_from.as_deref()));
        after.or(before.map(|at| (at, self.last_used_from.as_deref())))
    }

    /// The last use of the current secret while there is a previous one: time and client. `None` if it was not used, or if
    /// the previous secret was used later.
    #[must_use]
    pub fn last_use_of_current(&self) -> Option<(Timestamp, Option<&str>)> {
        let previous = self.previous.as_ref()?;
        let at = self.last_used_at.filter(|at| *at > previous.rotated_at)?;
        let is_later = previous.last_used_at.is_none_or(|before| before < at);
        is_later.then_some((at, self.last_used_from.as_deref()))
    }

    /// The status at `now`. At the exact instant of its expiry, a key is expired.
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

    /// Milliseconds until the key expires; `None` if it never expires or has expired.
    #[must_use]
    pub fn remaining(&self, now: Timestamp) -> Option<i64> {
        self.expires_at.filter(|at| *at > now).map(|at| at.0 - now.0)
    }

    /// Whether the key expires within [`EXPIRING_SOON`] and has not expired yet.
    #[must_use]
    pub fn is_expiring_soon(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at > now && at < now.plus(EXPIRING_SOON))
    }
}

/// All keys of an owner at `now`: newest first, expired ones last. Every server function
/// for keys returns it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyList {
    /// The server's clock when the list was read.
    pub now: Timestamp,
    /// What owns the keys.
    #[serde(default)]
    pub owner: KeyOwner,
    /// The keys, in display order.
    pub keys: Vec<ApiKey>,
    /// Maximum number of unexpired keys of this owner.
    pub limit: u32,
    /// The secret that this request generated. It is returned once, to the owner's browser only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new: Option<NewSecret>,
}

impl KeyList {
    /// The number of unexpired keys, which count towards the limit.
    #[must_use]
    pub fn live_count(&self) -> u32 {
        let live = self.keys.iter().filter(|key| key.status(self.now) != Status::Expired).count();
        u32::try_from(live).unwrap_or(u32::MAX)
    }

    /// Whether the limit is reached.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.live_count() >= self.limit
    }

    /// The key with this id.
    #[must_use]
    pub fn find(&self, id: &KeyId) -> Option<&ApiKey> {
        self.keys.iter().find(|key| key.id == *id)
    }
}

/// A secret that was just generated. No other type carries a secret to the browser. Its `Debug` output is redacted.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSecret {
    /// The id of the key.
    pub id: KeyId,
    /// The plaintext secret.
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
            previous: None,
            created_at: NOW,
            expires_at,
            last_used_at: None,
            last_used_from: None,
            active: true,
            access: Access::Everything,
        }
    }

    #[test]
    fn a_key_is_expired_at_the_instant_of_its_expiry() {
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
    fn expired_keys_do_not_count_towards_the_limit() {
        let mut keys: Vec<_> = (0..9).map(|n| key(&format!("k{n}"), None)).collect();
        keys.push(key("old", Some(NOW)));
        let mut list = KeyList { now: NOW, owner: KeyOwner::Account, keys, limit: 10, new: None };
        assert_eq!((list.live_count(), list.is_full()), (9, false));
        list.keys.push(key("new", Some(NOW.plus(1))));
        assert!(list.is_full());
    }

    #[test]
    fn a_key_id_is_32_hex_digits() {
        assert!(KeyId::parse(&"aF0".repeat(11)[..32]).is_some_and(|id| id.as_str().starts_with("af0")));
        for text in ["", "g", &"0".repeat(31), &"0".repeat(33), &"é".repeat(16)] {
            assert_eq!(KeyId::parse(text), None);
        }
    }

    #[test]
    fn debug_output_of_a_new_secret_is_redacted() {
        let id = KeyId("0".repeat(32));
        let new = NewSecret { id, secret: "mm_tok_secret".to_owned() };
        assert!(!format!("{new:?}").contains("mm_tok"));
    }
}
