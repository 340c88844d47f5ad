//! Server functions: POST requests under `/rpc`. Both plain forms and the island call them.
//!
//! Each function requires a session if it needs one, parses its arguments, calls the backend, and returns the new state
//! of the page.

pub mod account;
pub mod keys;
