//! Texts of Settings → Activity.

use super::time::date;
use crate::domain::activity::{Activity, ActivityKind};
use crate::domain::rotation::Grace;
use crate::domain::timestamp::Timestamp;

pub const TITLE: &str = "Activity";
pub const LEAD: &str = "What was done to your account and your keys, when and from where. Kept for a year; nobody can change it.";
pub const EMPTY: &str = "Nothing was done yet.";
pub const NEWEST: &str = "Newest";
pub const OLDER: &str = "Older";
pub const PAGES: &str = "Pages of activity";
pub const ON_THE_SERVER: &str = "on the server";

/// Where a change came from: an IP address, or the server if `address` is empty.
#[must_use]
pub fn from(address: &str) -> String {
    if address.is_empty() { ON_THE_SERVER.to_owned() } else { format!("from {address}") }
}

/// The text of an activity entry.
#[must_use]
pub fn what(activity: &Activity) -> String {
    let (key, became) = (&activity.key_name, &activity.became);
    let until = || {
        let at = became.parse().ok().map(Timestamp);
        at.map_or_else(|| "does not expire".to_owned(), |at| format!("expires on {}", date(at)))
    };
    match activity.what {
        ActivityKind::AccountCreated => "Account created".to_owned(),
        ActivityKind::SignedIn => "Signed in".to_owned(),
        ActivityKind::SignInRejected => "Refused: a wrong password".to_owned(),
        ActivityKind::SignedOut => "Signed out".to_owned(),
        ActivityKind::SignedOutEverywhere => "Signed out everywhere".to_owned(),
        ActivityKind::PasswordChanged => "Password changed, other sessions ended".to_owned(),
        ActivityKind::KeyCreated => format!("Key “{key}” generated, {}", until()),
        ActivityKind::KeyRenamed => format!("Key “{key}” renamed to “{became}”"),
        ActivityKind::KeyRefreshed => format!("Key “{key}” refreshed, {}", until()),
        ActivityKind::KeyRotated => {
            let grace = Grace::parse(became).map(super::grace).unwrap_or_default();
            format!("Key “{key}” rotated, the old secret works {grace}")
        }
        ActivityKind::PreviousSecretRetired => format!("Old secret of key “{key}” retired"),
        ActivityKind::PreviousSecretReplaced => {
            format!("Old secret of key “{key}” retired: the new one was used")
        }
        ActivityKind::KeySwitchedOn => format!("Key “{key}” switched on"),
        ActivityKind::KeySwitchedOff => format!("Key “{key}” switched off"),
        ActivityKind::KeyDeleted => format!("Key “{key}” deleted"),
    }
}
