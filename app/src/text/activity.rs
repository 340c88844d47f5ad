//! Texts of Settings → Activity.

use super::browser::browser;
use super::time::date;
use crate::domain::activity::{Activity, ActivityKind};
use crate::domain::rotation::Grace;
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::ClientName;

pub const TITLE: &str = "Activity";
pub const LEAD: &str = "Changes to your account and your keys: what, when and from where. Entries are kept for a year and cannot be changed.";
pub const EMPTY: &str = "No activity to show.";
pub const NEWER: &str = "Newer";
pub const OLDER: &str = "Older";
pub const PAGES: &str = "Pages of activity";
pub const ON_THE_SERVER: &str = "on the server";
pub const FILTER: &str = "Filter";
pub const KIND: &str = "Show";
pub const ALL_KINDS: &str = "All activity";
pub const KEY: &str = "Key";
pub const ALL_KEYS: &str = "All keys";

/// Where a change came from: the browser and its IP address, or the server if the address is empty.
#[must_use]
pub fn from(client: &ClientName) -> String {
    match (browser(&client.agent), client.address.as_str()) {
        (_, "") => ON_THE_SERVER.to_owned(),
        (None, address) => format!("from {address}"),
        (Some(browser), address) => format!("{browser}, from {address}"),
    }
}

/// How often an entry occurred in a row.
#[must_use]
pub fn times(count: usize) -> String {
    format!("{count} times")
}

/// The name of a key that is not unique, with the end of its id: a deleted key may have had the same name.
#[must_use]
pub fn key_with_id(name: &str, id: &str) -> String {
    format!("{name} (…{})", id.get(24..).unwrap_or(id))
}

/// The name of a kind of entries, for the filter.
#[must_use]
pub fn kind(kind: ActivityKind) -> &'static str {
    match kind {
        ActivityKind::AccountCreated => "Account created",
        ActivityKind::SignedIn => "Signed in",
        ActivityKind::SignInRejected => "Wrong password",
        ActivityKind::SignedOut => "Signed out",
        ActivityKind::SessionEnded => "Session ended",
        ActivityKind::SignedOutEverywhere => "Signed out everywhere",
        ActivityKind::PasswordChanged => "Password changed",
        ActivityKind::KeyCreated => "Key generated",
        ActivityKind::KeyRenamed => "Key renamed",
        ActivityKind::KeyDescribed => "Key described",
        ActivityKind::KeyAccessChanged => "Access changed",
        ActivityKind::KeyRefreshed => "Key refreshed",
        ActivityKind::KeyRotated => "Key rotated",
        ActivityKind::PreviousSecretRetired => "Old secret retired",
        ActivityKind::PreviousSecretReplaced => "Old secret replaced",
        ActivityKind::KeySwitchedOn => "Key switched on",
        ActivityKind::KeySwitchedOff => "Key switched off",
        ActivityKind::KeyDeleted => "Key deleted",
        ActivityKind::MechaCreated => "Mecha created",
        ActivityKind::MechaChanged => "Mecha changed",
        ActivityKind::MechaSwitchedOn => "Mecha switched on",
        ActivityKind::MechaSwitchedOff => "Mecha switched off",
        ActivityKind::MechaDeleted => "Mecha deleted",
        ActivityKind::RuntimeDrained => "Runtime drained",
        ActivityKind::RuntimeDisconnected => "Runtime disconnected",
    }
}

/// The text of an activity entry.
#[must_use]
pub fn what(activity: &Activity) -> String {
    let (mecha, became) = (&activity.mecha_name, &activity.became);
    let key = match mecha.as_str() {
        "" => format!("“{}”", activity.key_name),
        mecha => format!("“{}” of Mecha “{mecha}”", activity.key_name),
    };
    let until = || {
        let at = became.parse().ok().map(Timestamp);
        at.map_or_else(|| "does not expire".to_owned(), |at| format!("expires on {}", date(at)))
    };
    match activity.what {
        ActivityKind::AccountCreated => "Account created".to_owned(),
        ActivityKind::SignedIn => "Signed in".to_owned(),
        ActivityKind::SignInRejected => "Wrong password entered".to_owned(),
        ActivityKind::SignedOut => "Signed out".to_owned(),
        ActivityKind::SessionEnded => match browser(became) {
            None => "Session ended".to_owned(),
            Some(browser) => format!("Session ended: {browser}"),
        },
        ActivityKind::SignedOutEverywhere => "Signed out everywhere".to_owned(),
        ActivityKind::PasswordChanged => "Password changed, other sessions ended".to_owned(),
        ActivityKind::KeyCreated => format!("Key {key} generated, {}", until()),
        ActivityKind::KeyRenamed => format!("Key {key} renamed to “{became}”"),
        ActivityKind::KeyDescribed => format!("Description of key {key} changed"),
        ActivityKind::KeyAccessChanged if became.is_empty() => {
            format!("Key {key} has access to everything from now on")
        }
        ActivityKind::KeyAccessChanged => {
            format!("Key {key} has access to {} only", became.replace(' ', ", "))
        }
        ActivityKind::KeyRefreshed => format!("Key {key} refreshed, {}", until()),
        ActivityKind::KeyRotated => {
            let grace = Grace::parse(became).map(super::grace).unwrap_or_default();
            format!("Key {key} rotated; the old secret stops working {grace}")
        }
        ActivityKind::PreviousSecretRetired => format!("Old secret of key {key} retired"),
        ActivityKind::PreviousSecretReplaced => {
            format!("Old secret of key {key} retired: the new one was used")
        }
        ActivityKind::KeySwitchedOn => format!("Key {key} switched on"),
        ActivityKind::KeySwitchedOff => format!("Key {key} switched off"),
        ActivityKind::KeyDeleted => format!("Key {key} deleted"),
        ActivityKind::MechaCreated => format!("Mecha “{mecha}” created"),
        ActivityKind::MechaChanged if became == mecha => format!("Mecha “{mecha}” described"),
        ActivityKind::MechaChanged => format!("Mecha “{mecha}” renamed to “{became}”"),
        ActivityKind::MechaSwitchedOn => format!("Mecha “{mecha}” switched on"),
        ActivityKind::MechaSwitchedOff => format!("Mecha “{mecha}” switched off"),
        ActivityKind::MechaDeleted => format!("Mecha “{mecha}” deleted, with its keys"),
        ActivityKind::RuntimeDrained => format!("Runtime{} of Mecha “{mecha}” drained", on_host(became)),
        ActivityKind::RuntimeDisconnected => {
            format!("Runtime{} of Mecha “{mecha}” disconnected", on_host(became))
        }
    }
}

fn on_host(host: &str) -> String {
    if host.is_empty() { String::new() } else { format!(" on {host}") }
}
