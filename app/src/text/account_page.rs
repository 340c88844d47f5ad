//! Texts of Settings → Account.

use crate::domain::timestamp::Timestamp;

pub const TITLE: &str = "Account";
pub const LEAD: &str = "Change your password, manage your sessions, or delete your account.";
pub const CHANGE_PASSWORD: &str = "Change password";
pub const CHANGE_LEAD: &str = "This signs you out everywhere else. Your API keys keep working.";
pub const CURRENT_PASSWORD: &str = "Current password";
pub const NEW_PASSWORD: &str = "New password";
pub const SESSIONS: &str = "Sessions";
pub const SESSIONS_LEAD: &str =
    "Where you are signed in. A session ends after a day without use, and after 30 days at the latest.";
pub const THIS_SESSION: &str = "This session";
pub const UNKNOWN_BROWSER: &str = "Unknown browser";
pub const END_SESSION: &str = "End session";
pub const SIGN_OUT_EVERYWHERE: &str = "Sign out everywhere";
pub const DELETE: &str = "Delete account";
pub const DELETE_CONFIRM: &str = "I understand, delete my account";

/// When a session was created, and its IP address unless `address` is empty.
#[must_use]
pub fn began(date: &str, address: &str) -> String {
    if address.is_empty() {
        format!("Signed in on {date}")
    } else {
        format!("Signed in on {date} from {address}")
    }
}

/// When a session was last used.
#[must_use]
pub fn last_seen(at: Timestamp, now: Timestamp) -> String {
    format!("last active {}", super::ago(at, now))
}

/// The accessible name of the button that ends a session.
#[must_use]
pub fn end_session(browser: &str, address: &str) -> String {
    format!("{END_SESSION}: {browser}, {address}")
}

/// The warning before the deletion of an account with this number of keys.
#[must_use]
pub fn delete_lead(keys: usize) -> String {
    let keys = match keys {
        0 => "You have no API keys.".to_owned(),
        1 => "Your API key will be deleted too, and requests with it will be refused.".to_owned(),
        _ => format!("Your {keys} API keys will be deleted too, and requests with them will be refused."),
    };
    format!("This cannot be undone. {keys} To confirm, enter your password.")
}
