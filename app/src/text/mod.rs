//! All user-facing text of the console, in one place for editing and translation.
//!
//! This includes the names of buttons and fields that the product specification fixes. Components refer to the
//! constants here.

pub mod account;
pub mod account_page;
#[cfg(feature = "ssr")]
pub mod activity;
#[cfg(feature = "ssr")]
pub mod api_reference;
#[cfg(feature = "ssr")]
pub mod browser;
mod errors;
#[cfg(feature = "ssr")]
pub mod integrate;
pub mod keys;
#[cfg(feature = "ssr")]
pub mod mechas;
pub mod not_found;
#[cfg(feature = "ssr")]
pub mod runtimes;
pub mod time;
#[cfg(feature = "ssr")]
pub mod unknown_host;
#[cfg(feature = "ssr")]
pub mod usage;

pub use errors::text_problem;
#[cfg(feature = "ssr")]
pub use errors::{error, problem};
pub use keys::{
    default_key_name, expires_in, free_key_name, grace, menu_label, meter, of_key, period,
    previous_works_until, switch_label, will_expire,
};
pub use time::ago;

use crate::routes::Done;

pub const PRODUCT: &str = "Mecha Console";
pub const DESCRIPTION: &str = "Create and manage the API keys of your account.";
pub const SETTINGS: &str = "Settings";
pub const SKIP_TO_CONTENT: &str = "Skip to content";
pub const CANCEL: &str = "Cancel";
pub const CLOSE: &str = "Close";
pub const COPY: &str = "Copy";
pub const COPIED: &str = "Copied";
pub const COPY_FAILED: &str = "Your browser blocked copying. The text is selected: press Ctrl+C or ⌘C.";
pub const UNREACHABLE: &str = "The console cannot be reached. Check your connection and try again.";
pub const OFFLINE: &str = "You are offline. What you entered is kept: try again when you are connected.";
pub const FAILED: &str = "Something went wrong on the server. What you entered is kept; try again.";
pub const SIGNED_OUT: &str = "Your session has ended.";
pub const SIGN_IN_AGAIN: &str = "Sign in again";
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

/// What is announced near the limit of the description.
#[must_use]
pub fn characters_left(is: usize, max: usize) -> String {
    if is > max {
        format!("{} characters too many", is - max)
    } else {
        format!("{} characters left", max - is)
    }
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
        Done::Edited => "API key changed",
        Done::Refreshed => "API key refreshed",
        Done::SwitchedOn => "API key switched on",
        Done::SwitchedOff => "API key switched off",
        Done::Rotated => "API key rotated",
        Done::Retired => "Old secret retired",
        Done::Deleted => "API key deleted",
        Done::SessionEnded => "Your session has ended. Sign in to continue.",
        Done::MechaCreated => "Mecha created",
        Done::MechaChanged => "Mecha changed",
        Done::MechaSwitchedOn => "Mecha switched on",
        Done::MechaSwitchedOff => "Mecha switched off",
        Done::MechaDeleted => "Mecha deleted",
        Done::RuntimeTested => "The runtime responded",
        Done::RuntimeDrained => "The runtime was asked to finish its work",
        Done::RuntimeDisconnected => "Runtime disconnected",
        Done::OtherSessionEnded => "Session ended",
        Done::SignedOut => "You are signed out",
        Done::SignedOutEverywhere => "You are signed out everywhere",
        Done::PasswordChanged => "Password changed. Your other sessions have ended.",
        Done::AccountDeleted => "Account deleted. Its keys no longer work.",
    }
}
