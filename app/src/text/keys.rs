//! Texts of Settings → API Keys.

use super::time::{date, date_and_time};
use crate::domain::api_key::{KeyList, LIMIT};
use crate::domain::rotation::Grace;
use crate::domain::timestamp::Timestamp;

pub const TITLE: &str = "API Keys";
pub const LEAD: &str = "A key lets a program call the API as you. Give each program its own.";
pub const GENERATE: &str = "Generate key";
pub const FULL: &str =
    "You have 10 keys, the most an account may have. Delete one that is no longer used to make room.";
pub const EMPTY_TITLE: &str = "No API keys yet";
pub const EMPTY: &str = "A program, a script or a gateway shows its API key to be let in. Generate one for each of \
     them, so that you can see which is used and take one away without touching the others.";
pub const YOUR_KEYS: &str = "Your API keys";

pub const KEY_ID: &str = "Key ID";
pub const SECRET: &str = "Secret";
pub const CREATED: &str = "Created";
pub const EXPIRY: &str = "Expiry";
pub const USED: &str = "Last used";
pub const NEVER_USED: &str = "Never used";
pub const NO_EXPIRY: &str = "No expiry";
pub const EXPIRING_SOON: &str = "Expiring soon";
pub const EXPIRED: &str = "Expired";
pub const ACTIVE: &str = "Active";
pub const INACTIVE: &str = "Inactive";
pub const RENAME: &str = "Rename";
pub const REFRESH: &str = "Refresh";
pub const DELETE: &str = "Delete";
pub const REFRESH_EXPIRED: &str = "An expired key cannot be refreshed";
pub const ROTATE_EXPIRED: &str = "An expired key cannot be rotated";
pub const ROTATING: &str = "The old secret still works; retire it first";
pub const REFRESH_ENDLESS: &str = "This key does not expire";

pub const NEW_TITLE: &str = "New API key";
pub const NAME: &str = "Key name";
pub const NAME_HINT: &str = "Begins with a letter, up to 64 characters.";
pub const EXPIRE_IN: &str = "Expire in";
pub const DESCRIPTION: &str = "Description (optional)";
pub const WILL_NOT_EXPIRE: &str =
    "This key will never expire. If it leaks, it works until somebody notices and deletes it.";

pub const GENERATED_TITLE: &str = "API key generated";
pub const API_KEY_ID: &str = "API Key ID";
pub const KEY_SECRET: &str = "Key secret";
pub const WAITING: &str = "Waiting for the first request with this key …";
pub const SAVE_NOW: &str =
    "Make sure to copy and save the key secret now, as you will not be able to see it again";
pub const CURL: &str = "Example with curl";
pub const ENV: &str = "For a .env file";
pub const CLOSE_WITHOUT_COPY: &str =
    "The secret was not copied yet, and cannot be shown again. Close anyway?";
pub const GO_BACK: &str = "Go back";

pub const RENAME_TITLE: &str = "Rename this API key";
pub const REFRESH_TITLE: &str = "Refresh this API key";
pub const REFRESH_LEAD: &str = "Moves the expiry later, counted from now. The secret stays the same.";
pub const SWITCH_OFF_TITLE: &str = "Switch off this API key";
pub const SWITCH_OFF: &str = "Switch off";
pub const SWITCH_OFF_LEAD: &str = "Every request with this key is refused from now on";
pub const SWITCH_OFF_UNTIL: &str = "Until you switch it on again.";
pub const ROTATE: &str = "Rotate";
pub const ROTATE_TITLE: &str = "Rotate this API key";
pub const ROTATE_LEAD: &str =
    "Gives the key a new secret, shown once. Key ID, name and expiry stay the same.";
pub const ROTATED_TITLE: &str = "API key rotated";
pub const GRACE: &str = "The old secret works";
pub const RETIRE: &str = "Retire now";
pub const RETIRE_TITLE: &str = "Retire the old secret";
pub const RETIRE_LEAD: &str = "Every request with the old secret is refused from now on";
pub const RETIRE_STAYS: &str = "Requests with the new secret go on.";
pub const USAGE: &str = "Recent refusals";
pub const USAGE_TITLE: &str = "Recent refusals and use";
pub const DELETE_TITLE: &str = "Delete this API key";
pub const CANNOT_BE_UNDONE: &str = "This action cannot be undone";
pub const DELETE_LEAD: &str =
    "Every request with this key is refused from now on. To confirm, re-enter its name.";
pub const REENTER: &str = "Re-enter key name";
pub const DELETE_CONFIRM: &str = "I understand, delete this key";

/// The default name of the `n`th key.
#[must_use]
pub fn default_key_name(n: u32) -> String {
    format!("API key {n}")
}

/// The first default name that no key of the list has: `API key 1`, `API key 2`, ….
///
/// Names are compared without regard to ASCII case.
#[must_use]
pub fn free_key_name(list: &KeyList) -> String {
    let is_taken = |name: &String| list.keys.iter().any(|key| key.name.eq_ignore_ascii_case(name));
    (1..).map(default_key_name).find(|name| !is_taken(name)).unwrap_or_default()
}

/// The label of the meter.
#[must_use]
pub fn meter(count: u32) -> String {
    format!("{count} of {LIMIT} keys")
}

/// The accessible name of a key's switch.
#[must_use]
pub fn switch_label(name: &str) -> String {
    format!("{name} is active")
}

/// The accessible name of a key's ⋮ menu.
#[must_use]
pub fn menu_label(name: &str) -> String {
    format!("Actions for {name}")
}

/// `Expires in 6d 10h`.
#[must_use]
pub fn expires_in(span: &str) -> String {
    format!("Expires in {span}")
}

/// `Expired on 19 February 2027`.
#[must_use]
pub fn expired_on(date: &str) -> String {
    format!("Expired on {date}")
}

/// `Expires on 19 February 2027`, or [`NO_EXPIRY`].
#[must_use]
pub fn expires_on(at: Option<Timestamp>) -> String {
    at.map_or_else(|| NO_EXPIRY.to_owned(), |at| format!("Expires on {}", date(at)))
}

/// The hint below the choice of a period.
#[must_use]
pub fn will_expire(at: Option<Timestamp>) -> String {
    at.map_or_else(|| WILL_NOT_EXPIRE.to_owned(), |at| format!("This key will expire on {}", date(at)))
}

/// The note that the previous secret is still valid, and until when.
#[must_use]
pub fn old_secret(last_four: &str, until: Timestamp, ends_on_use: bool) -> String {
    let or = if ends_on_use { ", or until the new one is used" } else { "" };
    format!("Old secret …{last_four} works until {}{or}", date_and_time(until))
}

/// The label of a grace period. It completes the sentence that [`GRACE`] begins.
#[must_use]
pub fn grace(grace: Grace) -> &'static str {
    match grace {
        Grace::FirstUse => "until the new one is first used, 7 days at most",
        Grace::None => "no longer",
        Grace::Hour1 => "for 1 hour",
        Grace::Hours24 => "for 24 hours",
        Grace::Days7 => "for 7 days",
    }
}

/// The label of an expiry period, from its form value.
#[must_use]
pub fn period(value: &str) -> String {
    if value == "never" { NO_EXPIRY.to_owned() } else { format!("{value} days") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::api_key::{ApiKey, KeyId};

    #[test]
    fn the_default_name_is_unused_in_upper_or_lower_case() {
        let key = |name: &str| ApiKey {
            id: KeyId::parse(&"0".repeat(32)).unwrap(),
            name: name.to_owned(),
            description: String::new(),
            last_four: String::new(),
            old: None,
            created_at: Timestamp(0),
            expires_at: None,
            last_used_at: None,
            last_used_from: None,
            active: true,
            html: String::new(),
        };
        let keys = vec![key("API KEY 1"), key("API key 3")];
        assert_eq!(free_key_name(&KeyList { keys, ..KeyList::default() }), "API key 2");
    }
}
