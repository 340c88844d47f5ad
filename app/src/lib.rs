//! The user interface and the domain rules of the console, compiled for the server (`ssr`) and for the browser
//! (`hydrate`).
//!
//! The server renders the pages. The interactive part of a page is an island. Islands are built from plain HTML forms,
//! so every page also works without WebAssembly and before it has loaded.

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
pub mod text;
pub mod view;

#[cfg(feature = "ssr")]
pub use pages::{App, shell};
