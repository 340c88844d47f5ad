//! Settings → API Keys: the list and its dialogs, rendered on the server.
//!
//! Each dialog has a URL, and each action is a plain form, so the page works without a script. The island
//! [`crate::islands::Enhancements`] fetches the same pages, and replaces the parts that differ.

mod chart;
pub(crate) mod dialog;
pub(crate) mod fields;
pub(crate) mod frame;
mod key_row;
mod list;
mod menu;
mod reveal;
mod usage;

use super::toast::Toast;
use crate::islands::Enhancements;
use crate::routes::{EVENTS, events_of};
use crate::view::dialog::DialogView;
use crate::view::key::KeyListView;
use leptos::prelude::*;
use list::Keys;
use reveal::Progress;
pub use reveal::Step;

/// The list, the dialog that is open, and the message about the last action.
#[component]
pub fn ApiKeys(
    /// All keys.
    list: KeyListView,
    /// The open dialog.
    dialog: Option<DialogView>,
    /// The success of the action that led to this page; may be empty.
    done: &'static str,
    /// Why an action outside a dialog failed; may be empty.
    failure: String,
) -> impl IntoView {
    let is_covered = dialog.is_some();
    let page = list.page();
    let events = list.owner.mecha().map_or_else(|| EVENTS.to_owned(), events_of);
    view! {
        <div inert=is_covered data-events=events>
            <Keys list />
            <Toast done failure />
        </div>
        <dialog::Dialog page=page.clone() dialog />
        <dialog::Templates page />
        <Enhancements />
    }
}

/// The list as an HTML fragment, for live events.
#[must_use]
pub fn list_html(list: KeyListView) -> String {
    view! { <Keys list /> }.to_html()
}

/// What has happened with a new secret, as an HTML fragment for live events.
#[must_use]
pub fn progress_html(step: Step) -> String {
    view! { <Progress step /> }.to_html()
}
