//! Settings → API Keys: the list and its dialogs, as one island.
//!
//! The page's state comes with the page, every action answers with the new state, and what is shown is a
//! function of it. Each form below is a plain form that works by itself when no script runs.
//!
//! All of this is kept cheap to carry. Every reactive closure, every type of signal and every
//! type-erased view brings code of its own to build, to hydrate and to update it; so there are few, and
//! the five dialogs are one, described by data.

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
use crate::submission::{PAGE_STATE, Page};
#[cfg(feature = "ssr")]
pub use key_row::shown;
use leptos::ev;
use leptos::prelude::*;
use state::{Open, State};

/// The live part of Settings → API Keys.
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

/// The state that the page was rendered from: on the server the page's own, in the browser the one that
/// came in the document. A secret may be part of it, so it is read once and then taken out.
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

/// Runs once, in the browser only.
fn come_alive(state: State) {
    browser::serve_copy_buttons();
    browser::localise_moments();
    let connect = browser::listen(move || state.events(), move |event| state.hear(event));
    // A new key is watched from the next connection on.
    Effect::new(move |connected: Option<()>| {
        if state.open.with(|open| matches!(open, Some(Open::Reveal { .. }))) || connected.is_none() {
            connect();
        }
    });
    browser::show_address(HOME);
    // A page put aside by the browser comes back as it was left (bfcache), even where `no-store` asks
    // otherwise: it leaves without the secret, and comes back with fresh keys.
    window_event_listener(ev::pagehide, move |_| state.forget_secret());
    window_event_listener(ev::pageshow, move |event| {
        if event.persisted() {
            let _ = window().location().reload();
        }
    });
}
