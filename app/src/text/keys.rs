//! Texts of Settings → API Keys.

use super::time::{date, remaining};
use crate::domain::rotation::Grace;
use crate::domain::timestamp::Timestamp;

pub const TITLE: &str = "API Keys";
pub const LEAD: &str = "A key lets a program call the API as you. Give each program its own.";
pub const GENERATE: &str = "Generate key";
pub const EMPTY_TITLE: &str = "No API keys yet";
pub const EMPTY: &str = "API keys let your programs call the API. Create one per program, so that you can see and revoke \
     each on its own.";
pub const YOUR_KEYS: &str = "Your API keys";

pub const KEY_ID: &str = "Key ID";
pub const SECRET: &str = "Secret";
pub const CREATED: &str = "Created";
pub const EXPIRY: &str = "Expires";
pub const USED: &str = "Last used";
pub const REQUESTS: &str = "Requests, 30 days";
pub const STATUS: &str = "Status";
pub const NAME_COLUMN: &str = "Name";
pub const NEVER_USED: &str = "Never used";
pub const NO_EXPIRY: &str = "No expiry";
pub const EXPIRING_SOON: &str = "Expiring soon";
pub const EXPIRED: &str = "Expired";
pub const ACTIVE: &str = "Active";
pub const INACTIVE: &str = "Inactive";
pub const BEYOND_LIMIT: &str = "Beyond the limit";
pub const BEYOND_LIMIT_HINT: &str = "This key expires later than is allowed for new keys";
pub const RENAME: &str = "Rename";
pub const EDIT: &str = "Edit";
pub const REFRESH: &str = "Refresh";
pub const DELETE: &str = "Delete";
pub const ACTIVITY: &str = "Activity";
pub const REFRESH_HINT: &str = "Extend the expiry; the secret stays the same";
pub const REFRESH_EXPIRED: &str = "An expired key cannot be refreshed";
pub const ROTATE_EXPIRED: &str = "An expired key cannot be rotated";
pub const ROTATING: &str = "The old secret still works; retire it first";
pub const REFRESH_ENDLESS: &str = "This key does not expire";
pub const REFRESH_BEYOND_LIMIT: &str = "This key already expires later than is allowed";

pub const NEW_TITLE: &str = "New API key";
pub const NAME: &str = "Key name";
pub const NAME_HINT: &str = "Begins with a letter, up to 64 characters.";
pub const EXPIRE_IN: &str = "Expire in";
pub const OTHER_DATE: &str = "Other date";
pub const OTHER_DATE_HINT: &str = "This key will expire at the end of a day that you choose";
pub const EXPIRES_ON_DATE: &str = "Last day";
pub const EXPIRES_ON_HINT: &str = "The key works until 23:59:59 UTC on this day.";
pub const DESCRIPTION: &str = "Description (optional)";
pub const ACCESS: &str = "Access";
pub const ACCESS_EVERYTHING: &str = "Everything";
pub const ACCESS_CHOSEN: &str = "Only these scopes";
pub const NO_LONGER_OFFERED: &str = "no longer offered";
pub const WILL_NOT_EXPIRE: &str =
    "This key will never expire. If it leaks, it keeps working until you delete it.";

pub const GENERATED_TITLE: &str = "API key generated";
pub const API_KEY_ID: &str = "API Key ID";
pub const KEY_SECRET: &str = "Key secret";
pub const WAITING: &str = "Waiting for the first request with this key …";
pub const SAVE_NOW: &str =
    "Make sure to copy and save the key secret now, as you will not be able to see it again";
pub const SAVE_ONCE: &str = "It won't be shown again.";
pub const COPY_SECRET: &str = "Copy secret";
pub const GOT_401: &str = "Got a 401? Check that the whole secret was pasted.";
pub const UNTIL_USED: &str = ", or until the new one is used";
pub const PREVIOUS_ENDED: &str = "The old secret no longer works.";
pub const EXAMPLES: &str = "Use the key";
pub const CURL: &str = "cURL";
pub const ENV: &str = ".env";
pub const JAVASCRIPT: &str = "JavaScript";
pub const PYTHON: &str = "Python";
/// What the copy button of each example copies.
pub const CURL_LINE: &str = "curl line";
pub const ENV_LINES: &str = ".env lines";
pub const JAVASCRIPT_CODE: &str = "JavaScript code";
pub const PYTHON_CODE: &str = "Python code";
pub const CLOSE_WITHOUT_COPY: &str = "The secret was not copied yet, and cannot be shown again.";
pub const GO_BACK: &str = "Go back";
pub const DISCARD: &str = "Close without copying";

pub const LOADING: &str = "Loading …";
pub const NOT_LOADED_TITLE: &str = "Could not load";
pub const TRY_AGAIN: &str = "Try again";
pub const GONE_TITLE: &str = "This API key no longer exists";
pub const GONE: &str = "It was deleted, perhaps in another window. Requests with it are refused.";
pub const EXPIRES_ON: &str = "Expires on";

pub const RENAME_TITLE: &str = "Rename this API key";
pub const EDIT_TITLE: &str = "Edit this API key";
pub const EDIT_LEAD: &str = "Key ID and secret stay the same. Access that you remove ends at once.";
pub const SAVE: &str = "Save";
pub const REFRESH_TITLE: &str = "Refresh this API key";
pub const REFRESH_LEAD: &str = "Sets a later expiry, counted from now. The secret stays the same.";
pub const SWITCH_OFF_TITLE: &str = "Switch off this API key";
pub const SWITCH_OFF: &str = "Switch off";
pub const SWITCH_OFF_LEAD: &str = "Requests with this key will be refused until you switch it on again.";
pub const ROTATE: &str = "Rotate";
pub const ROTATE_TITLE: &str = "Rotate this API key";
pub const ROTATE_LEAD: &str =
    "Gives the key a new secret, shown once. Key ID, name and expiry stay the same.";
pub const ROTATED_TITLE: &str = "API key rotated";
pub const GRACE: &str = "The old secret stops working";
pub const RETIRE: &str = "Retire now";
pub const RETIRE_TITLE: &str = "Retire the old secret";
pub const RETIRE_LEAD: &str = "Requests with the old secret will be refused from now on";
pub const RETIRE_STAYS: &str = "The new secret keeps working.";
pub const USAGE: &str = "Usage and refusals";
pub const DELETE_TITLE: &str = "Delete this API key";
pub const CANNOT_BE_UNDONE: &str = "This action cannot be undone";
pub const DELETE_LEAD: &str =
    "Requests with this key will be refused from now on. To confirm, re-enter its name.";
pub const REENTER: &str = "Re-enter key name";
pub const DELETE_CONFIRM: &str = "I understand, delete this key";

/// The default name of the `n`th key.
#[must_use]
pub fn default_key_name(n: u32) -> String {
    format!("API key {n}")
}

/// The first default name that is not among `names`: `API key 1`, `API key 2`, ….
///
/// Names are compared without regard to ASCII case.
#[must_use]
pub fn free_key_name<'n>(names: impl Iterator<Item = &'n str> + Clone) -> String {
    let is_taken = |name: &String| names.clone().any(|taken| taken.eq_ignore_ascii_case(name));
    (1..).map(default_key_name).find(|name| !is_taken(name)).unwrap_or_default()
}

/// The label of the meter.
#[must_use]
pub fn meter(count: u32, limit: u32) -> String {
    format!("{count} of {limit} keys")
}

/// Why no more keys can be created. There are more than the limit if the operator has lowered it.
#[must_use]
pub fn full(count: u32, limit: u32) -> String {
    let keys = if count == 1 { "key" } else { "keys" };
    if count > limit {
        return format!(
            "You have {count} {keys}; the maximum is {limit}. Delete those that you no longer use to make room."
        );
    }
    format!("You have {count} {keys}, the maximum. Delete one that you no longer use to make room.")
}

/// The number of scopes of a restricted key.
#[must_use]
pub fn scopes(count: usize) -> String {
    format!("{count} {}", if count == 1 { "scope" } else { "scopes" })
}

/// The accessible name of a key's switch: its visible word, and the name of the key.
#[must_use]
pub fn switch_label(word: &str, name: &str) -> String {
    format!("{word}: {name}")
}

/// What a copy button copies, with the name of the key: `Key ID of Deploy`.
#[must_use]
pub fn of_key(what: &str, name: &str) -> String {
    format!("{what} of {name}")
}

/// The accessible name of a key's ⋮ menu.
#[must_use]
pub fn menu_label(name: &str) -> String {
    format!("Actions for {name}")
}

/// `Expires in 90 days`; under 7 days `Expires in 6d 10h`.
#[must_use]
pub fn expires_in(at: Timestamp, now: Timestamp) -> String {
    format!("Expires in {}", remaining(at, now))
}

/// The hint below the choice of a period.
#[must_use]
pub fn will_expire(at: Option<Timestamp>) -> String {
    at.map_or_else(|| WILL_NOT_EXPIRE.to_owned(), |at| format!("This key will expire on {}", date(at)))
}

/// The beginning of the note that the previous secret is still valid. A date and time follows, and [`UNTIL_USED`] if it
/// applies.
#[must_use]
pub fn previous_works_until(last_four: &str) -> String {
    format!("Old secret …{last_four} works until")
}

/// The label of a grace period. It completes the sentence that [`GRACE`] begins.
#[must_use]
pub fn grace(grace: Grace) -> &'static str {
    match grace {
        Grace::FirstUse => "when the new one is first used (7 days at most)",
        Grace::None => "immediately",
        Grace::Hour1 => "after 1 hour",
        Grace::Hours24 => "after 24 hours",
        Grace::Days7 => "after 7 days",
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

    #[test]
    fn the_default_name_is_unused_in_upper_or_lower_case() {
        assert_eq!(free_key_name(["API KEY 1", "API key 3"].into_iter()), "API key 2");
    }
}
