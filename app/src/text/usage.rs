//! Texts about the usage of a key.

use crate::domain::usage::DenialReason;

pub const USED_BY: &str = "Used in the last 30 days";
pub const NOBODY: &str = "Nobody used this key in the last 30 days.";
pub const REFUSED: &str = "Recent refusals";
pub const NO_REFUSALS: &str = "No request with this key was refused in the last 30 days.";
pub const OTHERS: &str = "Others";

/// The number of requests: `once`, `7 times`.
#[must_use]
pub fn times(times: u64) -> String {
    if times == 1 { "once".to_owned() } else { format!("{times} times") }
}

/// When the last request was: `last 5h 12m ago`.
#[must_use]
pub fn last(span: &str) -> String {
    format!("last {}", super::ago(span))
}

/// The result of the first request with a new secret: the client, and the reason if the request was denied.
#[must_use]
pub fn first_request(denied: Option<DenialReason>, program: &str) -> String {
    match denied {
        None => format!("First request received: {program}"),
        Some(reason) => format!("A request was refused: {} ({program})", denial_reason(reason)),
    }
}

/// Why a request was denied, as a sentence.
#[must_use]
pub fn refused(reason: DenialReason) -> String {
    format!("Refused: {}", denial_reason(reason))
}

fn denial_reason(reason: DenialReason) -> &'static str {
    match reason {
        DenialReason::Expired => "the key had expired",
        DenialReason::Inactive => "the key was switched off",
        DenialReason::Retired => "it was the old secret, which is retired",
        DenialReason::WrongId => "the Key ID does not match",
        DenialReason::WrongSecret => "the secret does not match the Key ID",
        DenialReason::ClosedModule => "what it asked for is closed to keys",
    }
}
