//! All user-facing text of the console, in one place for editing and translation.
//!
//! This includes the names of buttons and fields that the product specification fixes. Components refer to the
//! constants here.

pub mod account;
#[cfg(feature = "ssr")]
pub mod account_page;
#[cfg(feature = "ssr")]
pub mod activity;
#[cfg(feature = "ssr")]
pub mod api_reference;
mod errors;
#[cfg(feature = "ssr")]
pub mod integrate;
pub mod keys;
pub mod not_found;
pub mod time;
#[cfg(feature = "ssr")]
pub mod unknown_host;
#[cfg(feature = "ssr")]
pub mod usage;

pub use errors::{error, problem};
pub use keys::{
    default_key_name, expired_on, expires_in, expires_on, free_key_name, grace, menu_label, meter,
    old_secret, period, switch_label, will_expire,
};
pub use time::ago;

use crate::routes::Done;

pub const PRODUCT: &str = "Mecha Console";
pub const SETTINGS: &str = "Settings";
pub const SKIP_TO_CONTENT: &str = "Skip to content";
pub const CANCEL: &str = "Cancel";
pub const CLOSE: &str = "Close";
pub const COPY: &str = "Copy";
pub const COPIED: &str = "Copied";
pub const COPY_FAILED: &str =
    "The browser does not let this page copy. The text is selected: press Ctrl+C or ⌘C.";
pub const UNREACHABLE: &str = "The console cannot be reached. Check your connection and try again.";
pub const DISMISS: &str = "Dismiss";

/// The document title of a page.
#[must_use]
pub fn page_title(page: &str) -> String {
    format!("{page} · {PRODUCT}")
}

/// The accessible name of the copy button of a value.
#[must_use]
pub fn copy_label(what: &str) -> String {
    format!("{COPY} {what}")
}

/// The character count below the description.
#[must_use]
pub fn character_count(is: usize, max: usize) -> String {
    format!("{is} of {max} characters")
}

/// The confirmation of a successful action.
#[must_use]
pub fn done(done: Done) -> &'static str {
    match done {
        Done::Generated => "API key generated",
        Done::Renamed => "API key renamed",
        Done::Refreshed => "API key refreshed",
        Done::SwitchedOn => "API key switched on",
        Done::SwitchedOff => "API key switched off",
        Done::Rotated => "API key rotated",
        Done::Retired => "Old secret retired",
        Done::Deleted => "API key deleted",
        Done::SignedOut => "You are signed out",
        Done::SignedOutEverywhere => "You are signed out everywhere",
        Done::PasswordChanged => "Password changed. Your other sessions have ended.",
        Done::AccountDeleted => "Your account is deleted, and its keys are refused",
    }
}
