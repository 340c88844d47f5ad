//! How long a key lives.

use super::timestamp::{DAY, Timestamp};
use serde::{Deserialize, Serialize};

/// The periods that a key may be given, shortest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Period {
    /// One week.
    Days7,
    /// About a month.
    Days30,
    /// About a quarter; what is offered first.
    #[default]
    Days90,
    /// About half a year.
    Days180,
    /// About a year.
    Days365,
    /// Until it is deleted.
    NoExpiry,
}

impl Period {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 6] =
        [Self::Days7, Self::Days30, Self::Days90, Self::Days180, Self::Days365, Self::NoExpiry];

    /// What the form sends: a number of days, or `never`.
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

    /// The period for what a form sent; `None` for anything that is not on offer.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|period| period.value() == value)
    }

    /// When a key that gets this period at `now` expires; `None` means never.
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

    /// Whether this period, begun at `now`, ends later than `expires_at`: a refresh only ever adds time.
    #[must_use]
    pub fn is_later_than(self, expires_at: Timestamp, now: Timestamp) -> bool {
        self.expires_at(now).is_none_or(|new| new > expires_at)
    }

    /// What a refresh offers first: the usual period, or the shortest that adds time.
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
    fn only_the_periods_on_offer_are_understood() {
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
        assert_eq!(end.map(Timestamp::date).as_deref(), Some("19 February 2027"));
    }

    #[test]
    fn a_refresh_never_offers_less_time_than_the_key_has() {
        let in_a_week = NOW.plus(7 * DAY);
        assert_eq!(Period::for_refresh(in_a_week, NOW), Period::Days90);
        assert!(!Period::Days7.is_later_than(in_a_week, NOW));
        let in_two_hundred_days = NOW.plus(200 * DAY);
        assert_eq!(Period::for_refresh(in_two_hundred_days, NOW), Period::Days365);
        assert_eq!(Period::for_refresh(NOW.plus(400 * DAY), NOW), Period::NoExpiry);
    }
}
