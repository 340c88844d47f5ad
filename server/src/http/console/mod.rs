//! Routes for browsers: pages, forms, and the streams and fragments that pages load.

mod backend;
pub(crate) mod form_actions;
pub(crate) mod key_events;
pub(crate) mod pages;
pub mod site_files;
pub(crate) mod try_action;
