//! The expiry periods of keys.

use super::field_error::{Field, FieldError};
use super::timestamp::{DAY, Timestamp, parse_date};
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
        self.days().map(|days| now.plus(i64::from(days) * DAY))
    }

    /// The number of days; `None` if the key never expires.
    #[must_use]
    pub fn days(self) -> Option<u32> {
        Some(match self {
            Self::Days7 => 7,
            Self::Days30 => 30,
            Self::Days90 => 90,
            Self::Days180 => 180,
            Self::Days365 => 365,
            Self::NoExpiry => return None,
        })
    }

    /// Whether this period, counted from `now`, ends after `expires_at`. A refresh must only extend the expiry.
    #[must_use]
    pub fn is_later_than(self, expires_at: Timestamp, now: Timestamp) -> bool {
        self.expires_at(now).is_none_or(|new| new > expires_at)
    }
}

/// When a key is to expire, as its owner chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// After a period, counted from now.
    After(Period),
    /// At the end of a day (UTC), which is given in days since 1970-01-01.
    On(i64),
}

impl Expiry {
    /// The form value of [`Field::ExpireIn`] for a date, which is then the value of [`Field::ExpiresOn`].
    pub const DATE: &str = "date";

    /// Parses the form values of [`Field::ExpireIn`] and [`Field::ExpiresOn`].
    ///
    /// # Errors
    /// The field that is invalid, and why.
    pub fn parse(expire_in: &str, expires_on: &str) -> Result<Self, (Field, FieldError)> {
        if expire_in == Self::DATE {
            let day = parse_date(expires_on).ok_or((Field::ExpiresOn, FieldError::NotADate))?;
            return Ok(Self::On(day));
        }
        Period::parse(expire_in).map(Self::After).ok_or((Field::ExpireIn, FieldError::NotOnOffer))
    }

    /// When the key expires, as of `now`; `None` means never.
    #[must_use]
    pub fn expires_at(self, now: Timestamp) -> Option<Timestamp> {
        match self {
            Self::After(period) => period.expires_at(now),
            Self::On(day) => Some(Timestamp::end_of_day(day)),
        }
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
    fn an_expiry_is_a_period_or_a_date() {
        assert_eq!(Expiry::parse("30", "2027-02-19"), Ok(Expiry::After(Period::Days30)));
        let date = Expiry::parse("date", "2027-02-19");
        let end = date.ok().and_then(|date| date.expires_at(NOW));
        assert_eq!(end.map(Timestamp::rfc3339).as_deref(), Some("2027-02-19T23:59:59Z"));
        assert_eq!(Expiry::parse("date", ""), Err((Field::ExpiresOn, FieldError::NotADate)));
        assert_eq!(Expiry::parse("31", ""), Err((Field::ExpireIn, FieldError::NotOnOffer)));
    }
}
