//! Settings → API Keys: the list and its dialogs, as one island.
//!
//! The page contains its initial state, every action returns the new state, and the view is a function of the state.
//! Each form is a plain HTML form that also works without a script.
//!
//! The island is designed for a small WebAssembly file. Every reactive closure, every signal type and every type-erased
//! view adds code to build, hydrate and update it. There are therefore few of them, and all dialogs share one component
//! that is described by data.

mod dialog;
mod fields;
mod form;
#[cfg(feature = "ssr")]
mod key_row;
mod list;
mod reveal;
mod state;
mod wire;

use super::browser;
use super::toast::Toasts;
use crate::routes::HOME;
use crate::view::submission::{PAGE_STATE, Page};
#[cfg(feature = "ssr")]
pub use key_row::shown;
use leptos::ev;
use leptos::prelude::*;
use state::{Open, State};

/// The island of Settings → API Keys.
#[island]
pub fn ApiKeys() -> impl IntoView {
    let page = page_state();
    let is_covered = !page.dialog.is_empty();
    let state = State::new(page);
    Effect::new(move |_| come_alive(state));
    view! {
        <div inert=is_covered>
            {move || state.list.with(|list| list::keys(state, list))}
            <Toasts toaster=state.toaster />
        </div>
        {move || state.open.get().map(|open| view! { <dialog::Dialog state open /> })}
    }
}

/// Returns the initial state of the page: on the server from the context, in the browser from the attribute
/// [`PAGE_STATE`]. The state can contain a secret, so the attribute is removed after it is read.
fn page_state() -> Page {
    if cfg!(feature = "ssr") {
        return use_context().unwrap_or_default();
    }
    let Ok(Some(place)) = document().query_selector(&format!("[{PAGE_STATE}]")) else {
        return Page::default();
    };
    let page = place.get_attribute(PAGE_STATE).and_then(|json| wire::page(&json));
    let _ = place.remove_attribute(PAGE_STATE);
    page.unwrap_or_default()
}

/// Registers the event handlers. Runs once, in the browser only.
fn come_alive(state: State) {
    browser::serve_copy_buttons();
    browser::localise_moments();
    let connect = browser::listen(move || state.events(), move |event| state.hear(event));
    // Connects at the start, and reconnects when a secret is shown, so that the stream covers its key.
    Effect::new(move |connected: Option<()>| {
        if state.open.with(|open| matches!(open, Some(Open::Reveal { .. }))) || connected.is_none() {
            connect();
        }
    });
    browser::show_address(HOME);
    // The back/forward cache can restore the page despite `no-store`. So the secret is removed when the page is left,
    // and the page is reloaded when it is restored.
    window_event_listener(ev::pagehide, move |_| state.forget_secret());
    window_event_listener(ev::pageshow, move |event| {
        if event.persisted() {
            let _ = window().location().reload();
        }
    });
}
