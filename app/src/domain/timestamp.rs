//! A moment in time, and how it is written.

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

/// One second in the unit of [`Timestamp`].
pub const SECOND: i64 = 1_000;
/// One minute in the unit of [`Timestamp`].
pub const MINUTE: i64 = 60 * SECOND;
/// One hour in the unit of [`Timestamp`].
pub const HOUR: i64 = 60 * MINUTE;
/// One day of 24 hours in the unit of [`Timestamp`].
pub const DAY: i64 = 24 * HOUR;

/// A moment: milliseconds since 1970-01-01T00:00:00Z, without leap seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The moment this many milliseconds later (earlier, if negative).
    #[must_use]
    pub fn plus(self, milliseconds: i64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// How long ago `earlier` was, as [`span`] writes it; the future is no time ago.
    #[must_use]
    pub fn since(self, earlier: Self) -> String {
        span((self.0 - earlier.0).max(0))
    }

    /// The day in UTC, as people read it: `19 February 2027`.
    #[must_use]
    pub fn date(self) -> String {
        let at = self.utc();
        format!("{} {} {}", at.day(), at.month(), at.year())
    }

    /// Day and minute in UTC, as people read them: `19 February 2027, 10:32 UTC`.
    #[must_use]
    pub fn date_and_time(self) -> String {
        let at = self.utc();
        format!("{}, {:02}:{:02} UTC", self.date(), at.hour(), at.minute())
    }

    /// For programs: `2027-02-19T10:32:05Z` (RFC 3339).
    #[must_use]
    pub fn rfc3339(self) -> String {
        let at = self.utc();
        let year = at.year().unsigned_abs();
        let mut text = String::with_capacity(20);
        // Two digits at a time: every verification answers with such a moment, and formatting would take as long
        // as all the rest of it.
        for (number, then) in [
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
            text.push_str(then);
        }
        text
    }

    /// Outside the years that the calendar knows there is nothing sensible to show but its beginning.
    fn utc(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(self.0.div_euclid(SECOND)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

/// A span in its two largest units: `6d 10h`, `5h 12m`, `12m`; `less than a minute` below one minute.
#[must_use]
pub fn span(milliseconds: i64) -> String {
    let (days, hours, minutes) =
        (milliseconds / DAY, milliseconds % DAY / HOUR, milliseconds % HOUR / MINUTE);
    match (days, hours, minutes) {
        (1.., 0, _) => format!("{days}d"),
        (1.., _, _) => format!("{days}d {hours}h"),
        (_, 1.., 0) => format!("{hours}h"),
        (_, 1.., _) => format!("{hours}h {minutes}m"),
        (_, _, 1..) => format!("{minutes}m"),
        _ => crate::text::LESS_THAN_A_MINUTE.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_for_people_and_for_programs() {
        let at = Timestamp(1_803_033_125_678);
        assert_eq!(at.date(), "19 February 2027");
        assert_eq!(at.date_and_time(), "19 February 2027, 10:32 UTC");
        assert_eq!(at.rfc3339(), "2027-02-19T10:32:05Z");
    }

    #[test]
    fn a_span_shows_its_two_largest_units() {
        assert_eq!(span(6 * DAY + 10 * HOUR + 59 * MINUTE), "6d 10h");
        assert_eq!(span(90 * DAY), "90d");
        assert_eq!(span(5 * HOUR + 12 * MINUTE), "5h 12m");
        assert_eq!(span(HOUR), "1h");
        assert_eq!(span(2 * MINUTE + 59 * SECOND), "2m");
        assert_eq!(span(59 * SECOND), "less than a minute");
    }

    #[test]
    fn a_moment_beyond_the_calendar_does_not_panic() {
        for at in [i64::MIN, -1, i64::MAX] {
            assert!(!Timestamp(at).date_and_time().is_empty());
        }
    }
}
