//! What the console shows and the rules it keeps, compiled for the server (`ssr`) and for the browser
//! (`hydrate`).
//!
//! Pages are rendered on the server; the live part of a page is an island. The forms underneath are
//! plain forms, so that all of it works before the WebAssembly has loaded and without it.

#![recursion_limit = "256"]

#[cfg(feature = "ssr")]
pub mod backend;
pub mod components;
pub mod domain;
pub mod error;
#[cfg(feature = "ssr")]
pub mod pages;
pub mod routes;
pub mod server_fns;
pub mod submission;
pub mod text;

#[cfg(feature = "ssr")]
pub use pages::{App, shell};
