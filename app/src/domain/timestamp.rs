//! Timestamps and units of time.

use serde::{Deserialize, Serialize};
use time::{Date, Month, OffsetDateTime};

/// One second, in milliseconds.
pub const SECOND: i64 = 1_000;
/// One minute, in milliseconds.
pub const MINUTE: i64 = 60 * SECOND;
/// One hour, in milliseconds.
pub const HOUR: i64 = 60 * MINUTE;
/// One day of 24 hours, in milliseconds.
pub const DAY: i64 = 24 * HOUR;

/// A point in time: milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The timestamp `milliseconds` later, or earlier if negative. Saturates at the bounds of `i64`.
    #[must_use]
    pub fn plus(self, milliseconds: i64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// The day in UTC, in days since 1970-01-01.
    #[must_use]
    pub fn day(self) -> i64 {
        self.0.div_euclid(DAY)
    }

    /// The last second of a day (UTC), which is given in days since 1970-01-01.
    #[must_use]
    pub fn end_of_day(day: i64) -> Self {
        Self(day.saturating_add(1).saturating_mul(DAY).saturating_sub(SECOND))
    }

    /// Formats the date in UTC: `2027-02-19` (RFC 3339).
    #[must_use]
    pub fn iso_date(self) -> String {
        self.rfc3339().chars().take(10).collect()
    }

    /// Formats the timestamp in UTC, to the second: `2027-02-19T10:32:05Z` (RFC 3339).
    #[must_use]
    pub fn rfc3339(self) -> String {
        let at = self.utc();
        let year = at.year().unsigned_abs();
        let mut text = String::with_capacity(20);
        // Written two digits at a time for speed. The `/verify` response for a key that expires contains a timestamp,
        // and general-purpose formatting would take as long as the rest of the verification.
        for (number, separator) in [
            (year / 100 % 100, ""),
            (year % 100, "-"),
            (u8::from(at.month()).into(), "-"),
            (at.day().into(), "T"),
            (at.hour().into(), ":"),
            (at.minute().into(), ":"),
            (at.second().into(), "Z"),
        ] {
            for digit in [number / 10, number % 10] {
                text.push(char::from_digit(digit, 10).unwrap_or_default());
            }
            text.push_str(separator);
        }
        text
    }

    /// Timestamps outside the range of [`OffsetDateTime`] are converted to the start of 1970.
    fn utc(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.0.div_euclid(SECOND)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

/// Parses a date such as `2027-02-19` (RFC 3339). Returns the day in days since 1970-01-01.
#[must_use]
pub fn parse_date(text: &str) -> Option<i64> {
    let mut parts = text.splitn(3, '-');
    let mut number = |digits: usize| {
        let part = parts.next().filter(|part| part.len() == digits)?;
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse::<u16>().ok()).flatten()
    };
    let (year, month, day) = (number(4)?, number(2)?, number(2)?);
    let month = Month::try_from(u8::try_from(month).ok()?).ok()?;
    let date = Date::from_calendar_date(year.into(), month, u8::try_from(day).ok()?).ok()?;
    Some(date.midnight().assume_utc().unix_timestamp().div_euclid(DAY / SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_formatted_as_rfc_3339() {
        let at = Timestamp(1_803_033_125_678);
        assert_eq!(at.rfc3339(), "2027-02-19T10:32:05Z");
    }

    #[test]
    fn a_date_is_parsed_to_its_day() {
        let day = parse_date("2027-02-19");
        assert_eq!(
            day.map(|day| Timestamp::end_of_day(day).rfc3339()).as_deref(),
            Some("2027-02-19T23:59:59Z")
        );
        assert_eq!(day.map(|day| Timestamp::end_of_day(day).iso_date()).as_deref(), Some("2027-02-19"));
        for text in [
            "",
            "2027-02-30",
            "2027-2-19",
            "27-02-19",
            "2027-02-19T",
            "+027-02-19",
            "2027-13-01",
            "12027-01-01",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn a_timestamp_outside_the_calendar_does_not_panic() {
        for at in [i64::MIN, -1, i64::MAX] {
            assert!(!Timestamp(at).rfc3339().is_empty());
        }
    }
}
