//! Components, rendered on the server only. The browser makes them faster: see [`crate::islands`].

pub mod api_keys;
pub mod copyable;
pub mod icon;
pub mod mechas;
pub mod moment;
pub mod tabs;
pub mod toast;
