//! The list of keys, which is replaced after each change.

use super::{dom, moments};
use leptos::prelude::{document, window};
use std::cell::RefCell;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, HtmlTemplateElement};

thread_local! {
    /// The newest list that arrived while the list was in use.
    static PENDING: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Replaces the list with newer HTML. While a menu is open, a button is pressed or busy, or text is selected, the HTML
/// waits for the next call of this function or of [`apply_pending`].
pub(super) fn replace(html: &str) {
    PENDING.set(Some(html.to_owned()));
    apply_pending();
}

/// Replaces the list with the HTML that waits, if there is some.
pub(super) fn apply_pending() {
    let is_in_use = dom::find("#list :is(:active, :popover-open), #content [aria-busy]").is_some();
    if is_in_use || has_selection() {
        return;
    }
    let Some(html) = PENDING.take() else { return };
    let Ok(template) = document().create_element("template") else { return };
    template.set_inner_html(&html);
    let content = template.unchecked_into::<HtmlTemplateElement>().content();
    let (Ok(Some(new)), Some(shown)) = (content.query_selector("#list"), dom::find("#list")) else { return };
    // Both are times in milliseconds, with the same number of digits.
    if dom::attribute(&shown, "data-now") <= dom::attribute(&new, "data-now") {
        adopt(&new);
    }
}

/// Whether text in the list is selected.
fn has_selection() -> bool {
    let Ok(Some(selection)) = window().get_selection() else { return false };
    let list = dom::find("#list");
    !selection.is_collapsed() && list.is_some_and(|list| list.contains(selection.anchor_node().as_ref()))
}

/// Moves the content of a newer list into the page. Keeps the focus, and parts that were unfolded, if they exist in both.
pub(super) fn adopt(new: &Element) {
    let Some(list) = dom::find("#list") else { return };
    let focused = dom::find_in(&list, ":focus").map(|element| element.id()).unwrap_or_default();
    let unfolded = dom::find_all(&list, "details[open]");
    dom::set(&list, "data-now", &dom::attribute(new, "data-now"));
    dom::move_children(new, &list);
    for details in unfolded {
        if let Some(details) = document().get_element_by_id(&details.id()) {
            dom::toggle(&details, "open", true);
        }
    }
    moments::localise(&list);
    if focused.is_empty() {
        return;
    }
    if let Some(element) = document().get_element_by_id(&focused) {
        let options = dom::object(r#"{"preventScroll":true}"#);
        let _ = element.unchecked_into::<HtmlElement>().focus_with_options(options.unchecked_ref());
    } else {
        dom::keep_focus("");
    }
}
