//! Components of the pages. Components that run in the browser are used inside an island.

pub mod api_keys;
pub mod browser;
pub mod copyable;
pub mod icon;
#[cfg(feature = "ssr")]
pub mod moment;
pub mod toast;
#[cfg(feature = "ssr")]
pub mod usage;
