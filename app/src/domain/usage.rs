//! Key usage, as shown to the owner of a key.

use super::timestamp::{DAY, Timestamp};

/// Retention period of usage and denied requests, in milliseconds.
pub const USAGE_RETENTION: i64 = 30 * DAY;

/// Number of days that [`DailyUsage`] covers: today, and the days before it.
pub const USAGE_DAYS: usize = 30;
/// Denied requests of today and of this many days before are recent.
const RECENT_DAYS: usize = 1;

/// Requests with a key on one day (UTC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DayUsage {
    /// Number of allowed requests.
    pub allowed: u64,
    /// Number of denied requests.
    pub denied: u64,
}

/// Requests with a key on each of the last [`USAGE_DAYS`] days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DailyUsage {
    /// Today, in days since 1970-01-01 (UTC).
    pub today: i64,
    /// The days, oldest first; the last one is today.
    pub days: [DayUsage; USAGE_DAYS],
}

impl DailyUsage {
    /// No requests.
    #[must_use]
    pub fn none(today: i64) -> Self {
        Self { today, days: [DayUsage::default(); USAGE_DAYS] }
    }

    /// Adds the requests of a day. Ignores days that are not covered.
    pub fn add(&mut self, day: i64, usage: DayUsage) {
        let age = usize::try_from(self.today - day).ok().filter(|age| *age < USAGE_DAYS);
        if let Some(of_day) = age.and_then(|age| self.days.get_mut(USAGE_DAYS - 1 - age)) {
            of_day.allowed += usage.allowed;
            of_day.denied += usage.denied;
        }
    }

    /// All requests of the covered days.
    #[must_use]
    pub fn total(&self) -> DayUsage {
        Self::sum(&self.days)
    }

    /// Number of denied requests of today and yesterday.
    #[must_use]
    pub fn recently_denied(&self) -> u64 {
        Self::sum(self.days.get(USAGE_DAYS - 1 - RECENT_DAYS..).unwrap_or_default()).denied
    }

    fn sum(days: &[DayUsage]) -> DayUsage {
        days.iter().fold(DayUsage::default(), |sum, day| DayUsage {
            allowed: sum.allowed + day.allowed,
            denied: sum.denied + day.denied,
        })
    }
}

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
    /// The scope that the key lacks, for [`DenialReason::InsufficientScope`]. Otherwise empty, and if the console does not
    /// offer the scope.
    pub scope: String,
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
/// reasons, except for [`DenialReason::ClosedModule`] and [`DenialReason::InsufficientScope`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DenialReason {
    /// The key had expired.
    Expired,
    /// The key was switched off.
    Inactive,
    /// The Mecha that owns the key was switched off.
    MechaInactive,
    /// The secret was a previous one whose grace period had ended.
    Retired,
    /// The secret belongs to this key, but the Key ID in the request does not.
    WrongId,
    /// The Key ID belongs to this key, but the secret in the request does not.
    WrongSecret,
    /// The key is valid, but the requested module is closed to API keys.
    ClosedModule,
    /// The key is valid, but lacks a scope that the request requires.
    InsufficientScope,
}

impl DenialReason {
    const NAMES: [(Self, &'static str); 8] = [
        (Self::Expired, "expired"),
        (Self::Inactive, "inactive"),
        (Self::MechaInactive, "mecha-inactive"),
        (Self::Retired, "retired"),
        (Self::WrongId, "wrong-id"),
        (Self::WrongSecret, "wrong-secret"),
        (Self::ClosedModule, "closed-module"),
        (Self::InsufficientScope, "insufficient-scope"),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn daily_usage_covers_thirty_days_and_knows_recent_denials() {
        let mut usage = DailyUsage::none(20_000);
        for (day, denied) in [(20_000, 1), (19_999, 2), (19_998, 4), (19_971, 8), (19_970, 16), (20_001, 32)]
        {
            usage.add(day, DayUsage { allowed: 1, denied });
        }
        assert_eq!(usage.total(), DayUsage { allowed: 4, denied: 15 });
        assert_eq!(usage.recently_denied(), 3);
        assert_eq!(usage.days[0].denied, 8);
    }
}
