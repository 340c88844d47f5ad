//! The expiry periods of keys.

use super::timestamp::{DAY, Timestamp};
use serde::{Deserialize, Serialize};

/// The periods that an owner can choose, shortest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Period {
    /// 7 days.
    Days7,
    /// 30 days.
    Days30,
    /// 90 days, the default.
    #[default]
    Days90,
    /// 180 days.
    Days180,
    /// 365 days.
    Days365,
    /// The key never expires.
    NoExpiry,
}

impl Period {
    /// All periods, in display order.
    pub const ALL: [Self; 6] =
        [Self::Days7, Self::Days30, Self::Days90, Self::Days180, Self::Days365, Self::NoExpiry];

    /// The form value: a number of days, or `never`.
    #[must_use]
    pub fn value(self) -> &'static str {
        match self {
            Self::Days7 => "7",
            Self::Days30 => "30",
            Self::Days90 => "90",
            Self::Days180 => "180",
            Self::Days365 => "365",
            Self::NoExpiry => "never",
        }
    }

    /// Parses a form value; `None` for any other text.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|period| period.value() == value)
    }

    /// When a key with this period, counted from `now`, expires; `None` means never.
    #[must_use]
    pub fn expires_at(self, now: Timestamp) -> Option<Timestamp> {
        let days = match self {
            Self::Days7 => 7,
            Self::Days30 => 30,
            Self::Days90 => 90,
            Self::Days180 => 180,
            Self::Days365 => 365,
            Self::NoExpiry => return None,
        };
        Some(now.plus(days * DAY))
    }

    /// Whether this period, counted from `now`, ends after `expires_at`. A refresh must only extend the expiry.
    #[must_use]
    pub fn is_later_than(self, expires_at: Timestamp, now: Timestamp) -> bool {
        self.expires_at(now).is_none_or(|new| new > expires_at)
    }

    /// The preselected period for a refresh: the default, or the shortest longer period that extends the expiry.
    #[must_use]
    pub fn for_refresh(expires_at: Timestamp, now: Timestamp) -> Self {
        Self::ALL
            .into_iter()
            .find(|period| *period >= Self::default() && period.is_later_than(expires_at, now))
            .unwrap_or(Self::NoExpiry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_257_125_000);

    #[test]
    fn only_values_of_known_periods_are_accepted() {
        for period in Period::ALL {
            assert_eq!(Period::parse(period.value()), Some(period));
        }
        for value in ["", "8", "07", "-7", "Never", "7 ", "99999999999999999999"] {
            assert_eq!(Period::parse(value), None, "{value}");
        }
    }

    #[test]
    fn ninety_days_from_21_november_2026_is_19_february_2027() {
        let end = Period::Days90.expires_at(NOW);
        assert!(end.is_some_and(|end| end.rfc3339().starts_with("2027-02-19")));
    }

    #[test]
    fn a_refresh_preselects_a_period_that_extends_the_expiry() {
        let in_a_week = NOW.plus(7 * DAY);
        assert_eq!(Period::for_refresh(in_a_week, NOW), Period::Days90);
        assert!(!Period::Days7.is_later_than(in_a_week, NOW));
        let in_two_hundred_days = NOW.plus(200 * DAY);
        assert_eq!(Period::for_refresh(in_two_hundred_days, NOW), Period::Days365);
        assert_eq!(Period::for_refresh(NOW.plus(400 * DAY), NOW), Period::NoExpiry);
    }
}
