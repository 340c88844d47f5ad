//! Texts about the usage of a key.

use super::time::date;
use crate::domain::timestamp::{DAY, Timestamp};
use crate::domain::usage::{DailyUsage, DenialReason};

pub const USED_BY: &str = "Used in the last 30 days";
pub const NOBODY: &str = "This key was not used in the last 30 days.";
pub const REFUSED: &str = "Refused in the last 30 days";
pub const PER_DAY: &str = "Requests per day (UTC)";
pub const ALLOWED: &str = "allowed";
pub const DENIED: &str = "refused";
pub const TODAY: &str = "Today";
pub const NO_REFUSALS: &str = "No request with this key was refused in the last 30 days.";
pub const SECRETS: &str = "Two secrets work";
pub const NEW_SECRET: &str = "New secret";
pub const NEW_NOT_USED: &str = "New secret: not used yet";
pub const NEW_NOT_USED_SINCE: &str = "New secret: not used since the old one was last used";
pub const OLD_NOT_USED: &str = "Old secret: not used";
pub const OLD_SECRET: &str = "Old secret";
pub const OTHERS: &str = "Other clients";

/// The number of requests: `1 request`, `1,289,332 requests`.
#[must_use]
pub fn requests(count: u64) -> String {
    format!("{} {}", number(count), if count == 1 { "request" } else { "requests" })
}

/// A number with its digits in groups: `1,289,332`.
#[must_use]
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// The badge of a key with recently denied requests.
#[must_use]
pub fn recently_refused(count: u64) -> String {
    format!("{} refused", number(count))
}

/// The tooltip of that badge.
#[must_use]
pub fn recently_refused_hint(count: u64) -> String {
    format!("{} refused yesterday and today (UTC)", requests(count))
}

/// The text alternative of a chart of requests per day.
#[must_use]
pub fn chart(usage: &DailyUsage) -> String {
    let total = usage.total();
    let busiest = usage.days.iter().zip(0i64..).max_by_key(|(day, _)| day.allowed + day.denied);
    let busiest = busiest.filter(|(day, _)| day.allowed + day.denied > 0).map(|(day, index)| {
        let age = i64::try_from(usage.days.len()).unwrap_or_default() - 1 - index;
        let at = date(Timestamp((usage.today - age) * DAY));
        format!(", most on {at}: {}", number(day.allowed + day.denied))
    });
    let denied =
        if total.denied == 0 { String::new() } else { format!(", {} {DENIED}", number(total.denied)) };
    let allowed = requests(total.allowed);
    format!("Last 30 days: {allowed} {ALLOWED}{denied}{}", busiest.unwrap_or_default())
}

/// When a secret was last used: `Old secret: last used 2 min ago from 127.0.0.1, curl/8.5`.
#[must_use]
pub fn secret_used(label: &str, ago: &str, from: Option<&str>) -> String {
    let from = from.map(|from| format!(" from {from}")).unwrap_or_default();
    format!("{label}: last used {ago}{from}")
}

/// When the last request was: `most recently 5 hours ago`.
#[must_use]
pub fn last(at: Timestamp, now: Timestamp) -> String {
    format!("most recently {}", super::ago(at, now))
}

/// The result of the first request with a new secret: the client, and the reason if the request was denied.
#[must_use]
pub fn first_request(denied: Option<DenialReason>, program: &str) -> String {
    match denied {
        None => format!("First request received: {program}"),
        Some(reason) => format!("A request was refused: {} ({program})", denial_reason(reason, "")),
    }
}

/// Why a request was denied, as a sentence. `scope` is the scope that the key lacks, if it is known.
#[must_use]
pub fn refused(reason: DenialReason, scope: &str) -> String {
    format!("Refused: {}", denial_reason(reason, scope))
}

fn denial_reason(reason: DenialReason, scope: &str) -> String {
    let reason = match reason {
        DenialReason::Expired => "the key had expired",
        DenialReason::Inactive => "the key was switched off",
        DenialReason::MechaInactive => "its Mecha was switched off",
        DenialReason::Retired => "the old secret was used after it was retired",
        DenialReason::WrongId => "the Key ID does not match",
        DenialReason::WrongSecret => "the secret does not match the Key ID",
        DenialReason::ClosedModule => "this endpoint is closed to API keys",
        DenialReason::InsufficientScope if scope.is_empty() => "the key lacks a scope that this requires",
        DenialReason::InsufficientScope => return format!("the key lacks the scope {scope}"),
    };
    reason.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_of_requests_are_grouped() {
        assert_eq!(requests(1), "1 request");
        assert_eq!(requests(999), "999 requests");
        assert_eq!(requests(1_000), "1,000 requests");
        assert_eq!(requests(1_289_332), "1,289,332 requests");
    }
}
