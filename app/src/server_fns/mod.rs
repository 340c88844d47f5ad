//! The actions of the pages: POST under `/rpc`, reached by plain forms and by the island alike.
//!
//! Each body finds out who asks, parses, calls the backend, and answers with the page's new state.

pub mod account;
pub mod keys;
