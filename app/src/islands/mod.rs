//! What runs in the browser: an island that enhances what the server rendered. One file per behaviour.
//!
//! Every dialog has a URL, and every action is a plain form. The browser fetches the same pages in the background, and
//! replaces the parts that differ: see [`navigation`]. There is no other description of the page, and no state besides
//! the document. A secret exists only in the document, while its dialog is open.
//!
//! Events are delegated from the document: content that arrives later is not hydrated.

mod copy;
mod dialog;
mod dom;
mod history;
mod list;
mod live;
mod menu;
mod moments;
mod navigation;
mod validation;

use leptos::prelude::*;
use web_sys::Element;

/// Makes the page faster and more convenient: dialogs, forms, copy buttons, menus, times and live events. It has no
/// content of its own.
#[island]
pub fn Enhancements() -> impl IntoView {
    view! { <span hidden use:enhance></span> }
}

fn enhance(place: Element) {
    copy::enable();
    if dom::find("#list").is_some() {
        menu::enable();
        moments::localise(&dom::body());
        validation::enable();
        dialog::enable();
        navigation::enable();
        live::enable();
    }
    // Marks the page as interactive, for tests.
    dom::toggle(&place, "data-live", true);
}
