//! Key usage, as shown to the owner of a key.

use super::timestamp::{DAY, Timestamp};

/// Retention period of usage and denied requests, in milliseconds.
pub const USAGE_RETENTION: i64 = 30 * DAY;

/// A client, identified by its IP address and its `User-Agent`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClientName {
    /// IP address; empty for the aggregate of all clients above the limit per key.
    pub address: String,
    /// `User-Agent`, truncated and without invisible characters; may be empty.
    pub agent: String,
}

/// Formats as `127.0.0.1, curl/8.5`.
impl std::fmt::Display for ClientName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let comma = if self.address.is_empty() || self.agent.is_empty() { "" } else { ", " };
        write!(f, "{}{comma}{}", self.address, self.agent)
    }
}

/// Usage of a key by one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientUse {
    /// The client.
    pub client: ClientName,
    /// Number of allowed requests within [`USAGE_RETENTION`].
    pub times: u64,
    /// Time of the last request.
    pub last_at: Timestamp,
}

/// Denied requests of one client with a key, for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeniedClient {
    /// The client.
    pub client: ClientName,
    /// Why the requests were denied.
    pub reason: DenialReason,
    /// Number of denied requests within [`USAGE_RETENTION`].
    pub times: u64,
    /// Time of the last denied request.
    pub last_at: Timestamp,
}

/// Usage of a key and denied requests with it, each sorted by time, latest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUsage {
    /// Clients whose requests were allowed.
    pub uses: Vec<ClientUse>,
    /// Clients whose requests were denied.
    pub denied: Vec<DeniedClient>,
}

/// Why a request with a key was denied. The owner of the key sees the reason. The client cannot distinguish the
/// reasons, except for [`DenialReason::ClosedModule`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DenialReason {
    /// The key had expired.
    Expired,
    /// The key was switched off.
    Inactive,
    /// The secret was a previous one whose grace period had ended.
    Retired,
    /// The secret belongs to this key, but the Key ID in the request does not.
    WrongId,
    /// The Key ID belongs to this key, but the secret in the request does not.
    WrongSecret,
    /// The key is valid, but the requested module is closed to API keys.
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

    /// The name under which the reason is stored and logged.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(reason, _)| *reason == self).map_or("", |(_, name)| name)
    }

    /// Parses a stored name. `None` if this version does not know it.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, known)| *known == name).map(|(reason, _)| *reason)
    }
}
