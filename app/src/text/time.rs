//! Formats dates, times and durations for display.

use crate::domain::timestamp::{DAY, HOUR, MINUTE, SECOND, Timestamp};
use time::OffsetDateTime;

/// Formats the date in UTC: `19 February 2027`.
#[must_use]
pub fn date(at: Timestamp) -> String {
    let at = utc(at);
    format!("{} {} {}", at.day(), at.month(), at.year())
}

/// Formats date and time in UTC, to the minute: `19 February 2027, 10:32 UTC`.
#[must_use]
pub fn date_and_time(at: Timestamp) -> String {
    let (day, at) = (date(at), utc(at));
    format!("{day}, {:02}:{:02} UTC", at.hour(), at.minute())
}

/// Formats the time from `earlier` to `now`, as [`duration`] does. A time in the future counts as now.
#[must_use]
pub fn since(earlier: Timestamp, now: Timestamp) -> String {
    duration((now.0 - earlier.0).max(0))
}

/// Formats milliseconds in their two largest units: `6d 10h`, `5h 12m`, `12m`; `less than a minute` below one minute.
#[must_use]
pub fn duration(milliseconds: i64) -> String {
    let (days, hours, minutes) =
        (milliseconds / DAY, milliseconds % DAY / HOUR, milliseconds % HOUR / MINUTE);
    match (days, hours, minutes) {
        (1.., 0, _) => format!("{days}d"),
        (1.., _, _) => format!("{days}d {hours}h"),
        (_, 1.., 0) => format!("{hours}h"),
        (_, 1.., _) => format!("{hours}h {minutes}m"),
        (_, _, 1..) => format!("{minutes}m"),
        _ => "less than a minute".to_owned(),
    }
}

/// Formats a past event: `5h 12m ago`.
#[must_use]
pub fn ago(span: &str) -> String {
    format!("{span} ago")
}

/// Timestamps outside the range of [`OffsetDateTime`] are converted to the start of 1970.
fn utc(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.0.div_euclid(SECOND)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_formatted_for_display() {
        let at = Timestamp(1_803_033_125_678);
        assert_eq!(date(at), "19 February 2027");
        assert_eq!(date_and_time(at), "19 February 2027, 10:32 UTC");
    }

    #[test]
    fn a_duration_is_formatted_in_its_two_largest_units() {
        assert_eq!(duration(6 * DAY + 10 * HOUR + 59 * MINUTE), "6d 10h");
        assert_eq!(duration(90 * DAY), "90d");
        assert_eq!(duration(5 * HOUR + 12 * MINUTE), "5h 12m");
        assert_eq!(duration(HOUR), "1h");
        assert_eq!(duration(2 * MINUTE + 59 * SECOND), "2m");
        assert_eq!(duration(59 * SECOND), "less than a minute");
    }

    #[test]
    fn a_timestamp_outside_the_calendar_does_not_panic() {
        for at in [i64::MIN, -1, i64::MAX] {
            assert!(!date_and_time(Timestamp(at)).is_empty());
        }
    }
}
