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
    format!("{}, {}", date(at), clock_time(at))
}

/// Formats the time of day in UTC, to the minute: `10:32 UTC`.
#[must_use]
pub fn clock_time(at: Timestamp) -> String {
    let at = utc(at);
    format!("{:02}:{:02} UTC", at.hour(), at.minute())
}

/// Formats the time until `at`: in days from 7 days on, and below in its two largest units: `90 days`, `6d 10h`, `12m`.
#[must_use]
pub fn remaining(at: Timestamp, now: Timestamp) -> String {
    let span = (at.0 - now.0).max(0);
    let (days, hours, minutes) = (span / DAY, span % DAY / HOUR, span % HOUR / MINUTE);
    match (days, hours, minutes) {
        // Rounded: a key that was just created for 90 days has a few seconds less.
        (7.., _, _) => format!("{} days", (span + DAY / 2) / DAY),
        (1.., 0, _) => format!("{days}d"),
        (1.., _, _) => format!("{days}d {hours}h"),
        (_, 1.., 0) => format!("{hours}h"),
        (_, 1.., _) => format!("{hours}h {minutes}m"),
        (_, _, 1..) => format!("{minutes}m"),
        _ => "less than a minute".to_owned(),
    }
}

/// Formats a past event in its largest unit: `just now`, `1 min ago`, `5 hours ago`. A time in the future is `just now`.
#[must_use]
pub fn ago(at: Timestamp, now: Timestamp) -> String {
    let span = now.0 - at.0;
    let plural = |count: i64, unit: &str| format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" });
    match (span / DAY, span / HOUR, span / MINUTE) {
        (days @ 1.., _, _) => plural(days, "day"),
        (_, hours @ 1.., _) => plural(hours, "hour"),
        (_, _, minutes @ 1..) => format!("{minutes} min ago"),
        _ => "just now".to_owned(),
    }
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
    fn the_remaining_time_is_in_days_from_seven_days_on() {
        let in_ = |span| remaining(Timestamp(span), Timestamp(0));
        assert_eq!(in_(90 * DAY - SECOND), "90 days");
        assert_eq!(in_(7 * DAY), "7 days");
        assert_eq!(in_(7 * DAY - SECOND), "6d 23h");
        assert_eq!(in_(6 * DAY + 10 * HOUR + 59 * MINUTE), "6d 10h");
        assert_eq!(in_(5 * HOUR + 12 * MINUTE), "5h 12m");
        assert_eq!(in_(HOUR), "1h");
        assert_eq!(in_(2 * MINUTE + 59 * SECOND), "2m");
        assert_eq!(in_(59 * SECOND), "less than a minute");
    }

    #[test]
    fn a_past_event_is_formatted_in_its_largest_unit() {
        let past = |span| ago(Timestamp(0), Timestamp(span));
        assert_eq!(past(-SECOND), "just now");
        assert_eq!(past(59 * SECOND), "just now");
        assert_eq!(past(MINUTE), "1 min ago");
        assert_eq!(past(59 * MINUTE), "59 min ago");
        assert_eq!(past(HOUR), "1 hour ago");
        assert_eq!(past(47 * HOUR), "1 day ago");
        assert_eq!(past(40 * DAY), "40 days ago");
    }

    #[test]
    fn a_timestamp_outside_the_calendar_does_not_panic() {
        for at in [i64::MIN, -1, i64::MAX] {
            assert!(!date_and_time(Timestamp(at)).is_empty());
        }
    }
}
