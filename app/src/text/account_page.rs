//! Texts of Settings → Account.

pub const TITLE: &str = "Account";
pub const LEAD: &str = "Your password, where you are signed in, and the end of the account.";
pub const CHANGE_PASSWORD: &str = "Change password";
pub const CHANGE_LEAD: &str = "Your other sessions end; your API keys stay as they are.";
pub const CURRENT_PASSWORD: &str = "Current password";
pub const NEW_PASSWORD: &str = "New password";
pub const SESSIONS: &str = "Sessions";
pub const SESSIONS_LEAD: &str =
    "Where you are signed in. A session ends after a day without use, and after 30 days at the latest.";
pub const THIS_SESSION: &str = "This session";
pub const UNKNOWN_BROWSER: &str = "Unknown browser";
pub const SIGN_OUT_EVERYWHERE: &str = "Sign out everywhere";
pub const DELETE: &str = "Delete account";
pub const DELETE_CONFIRM: &str = "I understand, delete my account";

/// When a session was created, and its IP address unless `address` is empty.
#[must_use]
pub fn began(date: &str, address: &str) -> String {
    if address.is_empty() { format!("Since {date}") } else { format!("Since {date}, from {address}") }
}

/// When a session was last used.
#[must_use]
pub fn last_seen(span: &str) -> String {
    format!("last seen {}", super::ago(span))
}

/// The warning before the deletion of an account with this number of keys.
#[must_use]
pub fn delete_lead(keys: usize) -> String {
    let keys = match keys {
        0 => "You have no API keys.".to_owned(),
        1 => "Your API key goes with it: every request with it is refused from then on.".to_owned(),
        _ => format!("Your {keys} API keys go with it: every request with them is refused from then on."),
    };
    format!("This cannot be undone. {keys} To confirm, enter your password.")
}
