//! Live events: the list, whenever something happens to a key, and the first request with a new secret.

use super::{dom, list};
use leptos::prelude::document;
use std::cell::RefCell;
use wasm_bindgen::JsCast;
use web_sys::{EventSource, MessageEvent, VisibilityState};

/// Delay before the next attempt after an error, in milliseconds.
const RECONNECT_DELAY: i32 = 30_000;

thread_local! {
    static SOURCE: RefCell<Option<EventSource>> = const { RefCell::new(None) };
}

/// Connects, and reconnects whenever the page becomes visible.
pub(super) fn enable() {
    connect();
    dom::on_document("visibilitychange", |_| connect());
}

/// Opens the stream at the URL in the attribute `data-events` of the dialog or of the page, and closes the previous one.
///
/// The stream is open only while the page is visible, because browsers limit the number of connections per server. A
/// page in the background therefore does not keep its session alive. The browser reconnects by itself, until the server
/// sends `end`.
pub(super) fn connect() {
    disconnect();
    if document().visibility_state() != VisibilityState::Visible {
        return;
    }
    let place = dom::find("dialog [data-events]").or_else(|| dom::find("[data-events]"));
    let Some(url) = place.map(|place| dom::attribute(&place, "data-events")) else { return };
    let Ok(source) = EventSource::new(&url) else { return };
    dom::on(&source, "list", |event| list::replace(&data(&event)));
    dom::on(&source, "first-request", |event| {
        // Later requests change nothing.
        let Some(place) = dom::find("dialog #first-request:not([data-state=received])") else { return };
        let before = place.text_content();
        place.set_outer_html(&data(&event));
        let text = dom::find("dialog #first-request").and_then(|place| place.text_content());
        if text != before {
            let text = dom::find("dialog #first-request p").and_then(|text| text.text_content());
            dom::announce(&text.unwrap_or_default());
        }
    });
    dom::on(&source, "end", |_| disconnect());
    // After an error status, the browser does not reconnect by itself.
    dom::on(&source, "error", |_| {
        let is_closed = |source: &EventSource| source.ready_state() == EventSource::CLOSED;
        if SOURCE.with_borrow(|source| source.as_ref().is_some_and(is_closed)) {
            disconnect();
            dom::after(RECONNECT_DELAY, || {
                if SOURCE.with_borrow(Option::is_none) {
                    connect();
                }
            });
        }
    });
    SOURCE.replace(Some(source));
}

fn disconnect() {
    if let Some(source) = SOURCE.take() {
        source.close();
    }
}

fn data(event: &web_sys::Event) -> String {
    event.unchecked_ref::<MessageEvent>().data().as_string().unwrap_or_default()
}
