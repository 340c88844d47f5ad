//! Access to the document. Elements that are missing are skipped: the page then works as without a script.

use leptos::prelude::{document, window};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Element, Event, EventTarget, HtmlElement, Node};

/// The element that matches a selector.
pub(super) fn find(selector: &str) -> Option<Element> {
    document().query_selector(selector).ok().flatten()
}

/// The element inside `root` that matches a selector.
pub(super) fn find_in(root: &Element, selector: &str) -> Option<Element> {
    root.query_selector(selector).ok().flatten()
}

/// The body of the document.
pub(super) fn body() -> Element {
    document().body().map(JsCast::unchecked_into).unwrap_or_else(|| JsValue::NULL.unchecked_into())
}

/// The path of the page, which the list states: the address may be that of an action.
pub(super) fn page() -> String {
    find("#list").map(|list| attribute(&list, "data-page")).unwrap_or_default()
}

/// All elements inside `root` that match a selector.
pub(super) fn find_all(root: &Element, selector: &str) -> Vec<Element> {
    let Ok(found) = root.query_selector_all(selector) else { return Vec::new() };
    (0..found.length()).filter_map(|at| found.get(at)).map(JsCast::unchecked_into).collect()
}

/// The closest ancestor of an event's target that matches a selector, or the target itself.
pub(super) fn target(event: &Event, selector: &str) -> Option<Element> {
    let target: Element = event.target()?.dyn_into().ok()?;
    target.closest(selector).ok().flatten()
}

/// Calls `handle` for every event of this kind, also for events that do not bubble.
pub(super) fn on(target: &EventTarget, kind: &str, handle: impl FnMut(Event) + 'static) {
    // Not generic: each kind of closure would add code.
    fn add(target: &EventTarget, kind: &str, handle: Box<dyn FnMut(Event)>) {
        // The listener stays for as long as the page.
        let listener = Closure::wrap(handle).into_js_value();
        let _ = target.add_event_listener_with_callback_and_bool(kind, listener.unchecked_ref(), true);
    }
    add(target, kind, Box::new(handle));
}

/// Calls `handle` for every event of this kind in the document.
pub(super) fn on_document(kind: &str, handle: impl FnMut(Event) + 'static) {
    on(&document(), kind, handle);
}

/// Calls `handle` for every event of this kind of the window.
pub(super) fn on_window(kind: &str, handle: impl FnMut(Event) + 'static) {
    on(&window(), kind, handle);
}

/// Calls `run` after some milliseconds.
pub(super) fn after(milliseconds: i32, run: impl FnOnce() + 'static) {
    fn add(milliseconds: i32, run: Box<dyn FnOnce()>) {
        let run = Closure::once_into_js(run);
        let _ =
            window().set_timeout_with_callback_and_timeout_and_arguments_0(run.unchecked_ref(), milliseconds);
    }
    add(milliseconds, Box::new(run));
}

/// Sets an attribute.
pub(super) fn set(element: &Element, name: &str, value: &str) {
    let _ = element.set_attribute(name, value);
}

/// Sets an attribute to an empty value, or removes it.
pub(super) fn toggle(element: &Element, name: &str, is_set: bool) {
    let _ = element.toggle_attribute_with_force(name, is_set);
}

/// The value of an attribute; empty if it is missing.
pub(super) fn attribute(element: &Element, name: &str) -> String {
    element.get_attribute(name).unwrap_or_default()
}

/// Moves all children of `from` to `to`, and removes those that `to` had. Nodes of another document are adopted.
pub(super) fn move_children(from: &Node, to: &Element) {
    to.set_text_content(None);
    while let Some(child) = from.first_child() {
        let _ = to.append_child(&child);
    }
}

/// Focuses an element, if there is one.
pub(super) fn focus(element: Option<Element>) {
    if let Some(element) = element {
        let _ = element.unchecked_into::<HtmlElement>().focus();
    }
}

/// The id of the element that has the focus; empty if it has none.
pub(super) fn focused_id() -> String {
    document().active_element().map(|element| element.id()).unwrap_or_default()
}

/// Restores the focus if it was lost: focuses the element with this id, or `#content` if there is none.
pub(super) fn keep_focus(id: &str) {
    if document().active_element().is_none_or(|element| element.tag_name() == "BODY") {
        focus(document().get_element_by_id(id).or_else(|| find("#content")));
    }
}

/// Announces a text to assistive technology, in the open dialog or on the page.
pub(super) fn announce(text: &str) {
    let region = find("dialog:modal [data-announcer]").or_else(|| find("main > [data-announcer]"));
    if let Some(region) = region {
        region.set_text_content(Some(text));
    }
}

/// Marks a control as busy, or as no longer busy.
pub(super) fn set_busy(control: Option<&Element>, is_busy: bool) {
    if let Some(control) = control {
        if is_busy {
            set(control, "aria-busy", "true");
        } else {
            let _ = control.remove_attribute("aria-busy");
        }
    }
}

/// A JavaScript object from its JSON.
pub(super) fn object(json: &str) -> JsValue {
    js_sys::JSON::parse(json).unwrap_or_default()
}
