//! What programs did with a key, as its owner may know it.

use super::timestamp::{DAY, Timestamp};

/// How long it is remembered who used a key and who was refused with it, in milliseconds.
pub const USAGE_KEPT_FOR: i64 = 30 * DAY;

/// A program as the server sees it: where it is, and what it says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientName {
    /// Its address; empty for several that are not told apart.
    pub address: String,
    /// Its `User-Agent`, shortened and without what cannot be seen; may be empty.
    pub agent: String,
}

/// `127.0.0.1, curl/8.5`.
impl std::fmt::Display for ClientName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let comma = if self.address.is_empty() || self.agent.is_empty() { "" } else { ", " };
        write!(f, "{}{comma}{}", self.address, self.agent)
    }
}

/// A program that used a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientUse {
    /// Which.
    pub program: ClientName,
    /// How often, in the days that are remembered.
    pub times: u64,
    /// When last.
    pub last_at: Timestamp,
}

/// A program that was refused with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeniedClient {
    /// Which.
    pub program: ClientName,
    /// Why.
    pub reason: DenialReason,
    /// How often.
    pub times: u64,
    /// When last.
    pub last_at: Timestamp,
}

/// Who used a key and who was refused with it, each the latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUsage {
    /// Who used it.
    pub uses: Vec<ClientUse>,
    /// Who was refused.
    pub refused: Vec<DeniedClient>,
}

/// Why a program was refused that named a key. Only the owner of that key is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DenialReason {
    /// The key had expired.
    Expired,
    /// The key was switched off.
    Inactive,
    /// The secret was an old one, whose grace had ended.
    Retired,
    /// The secret is this key's, but the Key ID given with it is not.
    WrongId,
    /// The Key ID is this key's, but the secret given with it is not.
    WrongSecret,
    /// The key is valid, but what was asked for is closed to keys.
    ClosedModule,
}

impl DenialReason {
    const NAMES: [(Self, &'static str); 6] = [
        (Self::Expired, "expired"),
        (Self::Inactive, "inactive"),
        (Self::Retired, "retired"),
        (Self::WrongId, "wrong-id"),
        (Self::WrongSecret, "wrong-secret"),
        (Self::ClosedModule, "closed-module"),
    ];

    /// Its name, as it is stored and logged.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(reason, _)| *reason == self).map_or("", |(_, name)| name)
    }

    /// Reads its name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(reason, _)| *reason)
    }
}
