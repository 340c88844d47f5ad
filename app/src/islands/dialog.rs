//! The dialog of the page: what it shows, and how it closes.

use super::{copy, dom, history, live, moments, validation};
use leptos::prelude::window;
use std::cell::{Cell, RefCell};
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlDialogElement, HtmlElement, HtmlTemplateElement, KeyboardEvent, Node};

thread_local! {
    /// The id of the element that opened the dialog, which gets the focus when it closes.
    static OPENER: RefCell<String> = const { RefCell::new(String::new()) };
    /// Counts openings and closings. What was requested for an earlier opening is ignored.
    static OPENINGS: Cell<u32> = const { Cell::new(0) };
}

/// Makes a dialog modal that the server rendered open, and handles the ways to close it.
pub(super) fn enable() {
    if let Some(dialog) = element().filter(HtmlDialogElement::open) {
        // Removing the attribute hides the dialog without a `close` event.
        let focused = dom::find("dialog :focus");
        dom::toggle(&dialog, "open", false);
        present(&dialog);
        if focused.is_some() {
            dom::focus(focused);
        }
        // The server rendered the page behind it as inert. A modal dialog makes it inert without the attribute.
        while let Some(element) = dom::find("[inert]") {
            dom::toggle(&element, "inert", false);
        }
    }
    dom::on_document("keydown", |event| {
        // A repeated Escape can otherwise close the dialog without a `cancel` event.
        let event: &KeyboardEvent = event.unchecked_ref();
        // In an input method, Escape cancels what is being composed.
        if event.key() == "Escape" && !event.is_composing() && is_open() && !is_menu_open() {
            event.prevent_default();
            escape();
        }
    });
    dom::on_document("cancel", |event| {
        event.prevent_default();
        escape();
    });
    // A browser that closes the dialog by itself, such as for a gesture, must not lose a secret either.
    dom::on_document("close", |_| {
        let Some(dialog) = element().filter(|dialog| dialog.has_child_nodes()) else { return };
        if copy::has_uncopied_secret() {
            let _ = dialog.show_modal();
            ask(true);
        } else {
            close();
        }
    });
    dom::on_document("click", |event| {
        match dom::target(&event, "[data-do]").map(|button| dom::attribute(&button, "data-do")).as_deref() {
            Some("go-back") => ask(false),
            Some("discard") => close(),
            Some("dismiss") => show_toast("", ""),
            _ => {}
        }
    });
    dom::on_window("beforeunload", |event| {
        if copy::has_uncopied_secret() {
            event.prevent_default();
        }
    });
    // The back/forward cache can restore the page despite `no-store`. So the secret is removed when the page is left, and
    // the page is reloaded when it is restored.
    dom::on_window("pagehide", |_| {
        if dom::find("dialog [data-secret]").is_some() {
            close_silently();
        }
    });
    dom::on_window("pageshow", |event| {
        if event.unchecked_ref::<web_sys::PageTransitionEvent>().persisted() {
            let _ = window().location().reload();
        }
    });
}

fn element() -> Option<HtmlDialogElement> {
    dom::find("#dialog").map(JsCast::unchecked_into)
}

fn is_menu_open() -> bool {
    dom::find(".menu:popover-open").is_some()
}

/// Whether the dialog is open.
pub(super) fn is_open() -> bool {
    element().is_some_and(|dialog| dialog.open())
}

/// Shows the children of `content` in the dialog, and opens it if it is closed.
pub(super) fn show(content: &Node) {
    if let Some(dialog) = element() {
        dom::move_children(content, &dialog);
        present(&dialog);
    }
}

/// Shows the content of a `<template>` of the page.
pub(super) fn show_template(selector: &str) {
    if let Some(copy) = copy_of(selector) {
        show(&copy);
    }
}

/// A copy of the content of a `<template>` of the page.
fn copy_of(selector: &str) -> Option<Node> {
    let template = dom::find(selector)?.unchecked_into::<HtmlTemplateElement>();
    template.content().clone_node_with_deep(true).ok()
}

/// Replaces the frame of a response with a new one: the next response then adds no entry to the history.
pub(super) fn renew_frame() {
    if let (Some(copy), Some(place)) = (copy_of("#frame"), dom::find("[data-frame]")) {
        dom::move_children(&copy, &place);
    }
}

/// Opens the dialog, if it is closed, and moves the focus to what needs attention first: an invalid field, the first
/// field, or the heading, so that screen readers read the content from the start.
fn present(dialog: &HtmlDialogElement) {
    moments::localise(dialog);
    if !dialog.open() {
        let _ = dialog.show_modal();
    }
    validation::prepare(dialog);
    let first = dom::find_in(dialog, "[aria-invalid=true]").or_else(|| dom::find_in(dialog, "[autofocus]"));
    dom::focus(first.or_else(|| dom::find_in(dialog, "h2")));
    if let Some(alert) = dom::find_in(dialog, "[role=alert]:not(:empty)") {
        alert.scroll_into_view();
    }
    // Back then asks before it leaves the page.
    if copy::has_uncopied_secret() && !history::is_at_dialog() {
        history::enter(&dom::page());
    }
    // The stream then also reports requests with the new secret.
    if dom::find_in(dialog, "[data-events]").is_some() {
        live::connect();
    }
}

/// Escape closes the dialog. In the question whether to discard a secret, it goes back to the secret.
fn escape() {
    if is_asking() {
        ask(false);
    } else {
        request_close();
    }
}

/// Closes the dialog, unless it shows a secret that was not copied: then it asks.
pub(super) fn request_close() {
    if copy::has_uncopied_secret() {
        ask(true);
    } else {
        close();
    }
}

fn is_asking() -> bool {
    dom::find("dialog [data-asking]:not([hidden])").is_some()
}

/// Shows or hides the question whether to discard the secret.
fn ask(is_asking: bool) {
    let (Some(question), Some(usual)) = (dom::find("[data-asking]"), dom::find("[data-closing]")) else {
        return;
    };
    dom::toggle(&question, "hidden", !is_asking);
    dom::toggle(&usual, "hidden", is_asking);
    let (Some(alert), Some(back)) =
        (dom::find_in(&question, "[role=alert]"), dom::find_in(&question, "[data-do=go-back]"))
    else {
        return;
    };
    // An alert is announced when its text changes.
    alert.set_text_content(is_asking.then(|| dom::attribute(&back, "data-warning")).as_deref());
    dom::focus(if is_asking { Some(back) } else { dom::find("dialog h2") });
}

/// Closes the dialog and removes its content, so that a secret disappears with it.
pub(super) fn close() {
    close_silently();
    history::leave();
}

/// Closes the dialog, and leaves the history as it is.
pub(super) fn close_silently() {
    begin_opening();
    if let Some(dialog) = element() {
        dialog.set_text_content(None);
        dialog.close();
    }
    // The browser restores the focus only to the same element, and a change replaces the whole list.
    dom::keep_focus(&OPENER.take());
}

/// Begins to open another dialog, or ends such an attempt. Returns its number.
pub(super) fn begin_opening() -> u32 {
    OPENINGS.set(OPENINGS.get() + 1);
    OPENINGS.get()
}

/// Whether this is still the last attempt to open a dialog.
pub(super) fn is_opening(number: u32) -> bool {
    OPENINGS.get() == number
}

/// The id of the element that gets the focus when the dialog closes.
pub(super) fn opener_id() -> String {
    OPENER.with_borrow(Clone::clone)
}

/// Sets the id of the element that gets the focus when the dialog closes.
pub(super) fn set_opener(id: String) {
    OPENER.set(id);
}

/// Shows why the form of the open dialog failed, at its button. The text is followed by a link, if there is one. Returns
/// whether there is a form.
pub(super) fn show_form_error(text: &str, link: Option<(&str, &str)>) -> bool {
    let Some(place) = dom::find("dialog:modal [data-form-error]") else { return false };
    place.set_text_content(Some(text));
    if let Some((href, label)) = link
        && let Ok(anchor) = leptos::prelude::document().create_element("a")
    {
        dom::set(&anchor, "href", href);
        anchor.set_text_content(Some(label));
        let _ = place.append_child(&anchor);
    }
    place.scroll_into_view();
    true
}

/// How long a success is shown, in milliseconds. A failure stays until it is dismissed.
const TOAST_SHOWN_FOR: i32 = 8_000;

/// Shows the result of an action on the page. Empty texts hide the toast.
pub(super) fn show_toast(done: &str, failure: &str) {
    let (Some(status), Some(alert)) = (dom::find("#toast [role=status]"), dom::find("#toast [role=alert]"))
    else {
        return;
    };
    status.set_text_content(Some(done));
    alert.set_text_content(Some(failure));
    if !done.is_empty() {
        let shown = done.to_owned();
        dom::after(TOAST_SHOWN_FOR, move || {
            if status.text_content().is_some_and(|text| text == shown) {
                status.set_text_content(None);
            }
        });
    }
}

/// Remembers and focuses the element that opens a dialog: the button of the menu, if it is a menu item. Returns it.
pub(super) fn opener(button: &Element) -> Element {
    let menu = button.closest("[popover]").ok().flatten();
    let opener = menu.and_then(|menu| {
        let _ = menu.unchecked_ref::<HtmlElement>().hide_popover();
        dom::find(&format!("[popovertarget={}]", menu.id()))
    });
    let opener = opener.unwrap_or_else(|| button.clone());
    // The button of an empty list is gone once there is a key.
    set_opener(if opener.id() == "generate-first" { "generate".to_owned() } else { opener.id() });
    dom::focus(Some(opener.clone()));
    opener
}
