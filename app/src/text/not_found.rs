//! Texts of the error pages.

pub const TITLE: &str = "Page not found";
pub const LEAD: &str = "There is nothing at this address.";
pub const BACK: &str = "Go to your API keys";
pub const AGAIN: &str = "Try again";
pub const BROKEN_TITLE: &str = "The page cannot be shown";
