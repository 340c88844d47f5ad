//! Giving a key another secret while programs still use the old one.

use super::timestamp::{DAY, HOUR, Timestamp};

/// How long the old secret works beside the new one (grace period), in the order in which it is offered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grace {
    /// Until the new secret is first used, and [`Grace::Days7`] at most: a new secret that never arrives where it
    /// belongs does not leave two working for ever.
    #[default]
    FirstUse,
    /// Not at all.
    None,
    /// One hour.
    Hour1,
    /// One day.
    Hours24,
    /// One week.
    Days7,
}

impl Grace {
    /// All of them, in the order in which they are offered.
    pub const ALL: [Self; 5] = [Self::FirstUse, Self::None, Self::Hour1, Self::Hours24, Self::Days7];

    /// What the form sends.
    #[must_use]
    pub fn value(self) -> &'static str {
        match self {
            Self::FirstUse => "first-use",
            Self::None => "0",
            Self::Hour1 => "1h",
            Self::Hours24 => "24h",
            Self::Days7 => "7d",
        }
    }

    /// The grace time for what a form sent; `None` for anything that is not on offer.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grace| grace.value() == value)
    }

    /// From when on the old secret of a key rotated at `now` is refused, whatever else happens.
    #[must_use]
    pub fn ends_at(self, now: Timestamp) -> Timestamp {
        now.plus(match self {
            Self::None => 0,
            Self::Hour1 => HOUR,
            Self::Hours24 => DAY,
            Self::FirstUse | Self::Days7 => 7 * DAY,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_grace_times_on_offer_are_understood() {
        for grace in Grace::ALL {
            assert_eq!(Grace::parse(grace.value()), Some(grace));
        }
        for value in ["", "1", "1H", "-1h", "8d", "first use"] {
            assert_eq!(Grace::parse(value), None, "{value}");
        }
    }

    #[test]
    fn without_grace_the_old_secret_ends_at_once() {
        assert_eq!(Grace::None.ends_at(Timestamp(5)), Timestamp(5));
        assert_eq!(Grace::default().ends_at(Timestamp(0)), Timestamp(7 * DAY));
    }
}
