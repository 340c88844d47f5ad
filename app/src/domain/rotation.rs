//! Key rotation: generating a new secret while clients still use the previous one.

use super::mecha::KeyOwner;
use super::timestamp::{DAY, HOUR, Timestamp};

/// Grace period: how long the previous secret stays valid after a rotation. Variants are in display order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grace {
    /// Until the new secret is first used, and at most 7 days. The bound ensures that the previous secret expires even
    /// if the new one is never deployed.
    #[default]
    FirstUse,
    /// No grace period: the previous secret is retired at once.
    None,
    /// 1 hour.
    Hour1,
    /// 24 hours.
    Hours24,
    /// 7 days.
    Days7,
}

impl Grace {
    /// All grace periods, in display order.
    pub const ALL: [Self; 5] = [Self::FirstUse, Self::None, Self::Hour1, Self::Hours24, Self::Days7];

    /// The form value.
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

    /// Parses a form value; `None` for any other text.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|grace| grace.value() == value)
    }

    /// The grace periods that this owner can choose, and the default. The keys of a Mecha have no
    /// [`Grace::FirstUse`]: it would disconnect the other runtimes with the same key.
    #[must_use]
    pub fn of(owner: &KeyOwner) -> (&'static [Self], Self) {
        match owner {
            KeyOwner::Account => (&Self::ALL, Self::FirstUse),
            KeyOwner::Mecha(_) => (&[Self::None, Self::Hour1, Self::Hours24, Self::Days7], Self::Hours24),
        }
    }

    /// When the previous secret of a key rotated at `now` expires. It can be retired earlier.
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
    fn only_values_of_known_grace_periods_are_accepted() {
        for grace in Grace::ALL {
            assert_eq!(Grace::parse(grace.value()), Some(grace));
        }
        for value in ["", "1", "1H", "-1h", "8d", "first use"] {
            assert_eq!(Grace::parse(value), None, "{value}");
        }
    }

    #[test]
    fn without_a_grace_period_the_previous_secret_expires_at_once() {
        assert_eq!(Grace::None.ends_at(Timestamp(5)), Timestamp(5));
        assert_eq!(Grace::default().ends_at(Timestamp(0)), Timestamp(7 * DAY));
    }
}
