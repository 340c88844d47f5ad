//! The user interface and the domain rules of the console, compiled for the server (`ssr`) and for the browser
//! (`hydrate`).
//!
//! The server renders the pages, from plain links and forms, so every page works without WebAssembly and before it has
//! loaded. The islands make them faster: they fetch the same pages, and replace the parts that differ.

#![recursion_limit = "256"]

#[cfg(feature = "ssr")]
pub mod backend;
#[cfg(feature = "ssr")]
pub mod components;
pub mod domain;
#[cfg(feature = "ssr")]
pub mod error;
pub mod islands;
#[cfg(feature = "ssr")]
pub mod pages;
pub mod routes;
#[cfg(feature = "ssr")]
pub mod server_fns;
pub mod text;
pub mod view;

#[cfg(feature = "ssr")]
pub use pages::{App, shell};
