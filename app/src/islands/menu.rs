//! The keyboard in the ⋮ menus. The browser itself opens and closes them.

use super::{dom, list};
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, KeyboardEvent};

/// Moves the focus with the arrow keys, Home and End, and closes a menu when the focus leaves it.
pub(super) fn enable() {
    dom::on_document("keydown", |event| {
        let Some(menu) = dom::target(&event, ".menu") else { return };
        let items = dom::find_all(&menu, ".menu-item");
        let here = items.iter().position(|item| item.matches(":focus").unwrap_or(false)).unwrap_or(0);
        let next = match event.unchecked_ref::<KeyboardEvent>().key().as_str() {
            "ArrowDown" => (here + 1) % items.len(),
            "ArrowUp" => (here + items.len() - 1) % items.len(),
            "Home" => 0,
            "End" => items.len() - 1,
            _ => return,
        };
        event.prevent_default();
        dom::focus(items.get(next).cloned());
    });
    // After it opens, the first item has the focus.
    dom::on_document("toggle", |event| {
        list::apply_pending();
        if let Some(menu) = dom::target(&event, ".menu:popover-open") {
            dom::focus(dom::find_in(&menu, ".menu-item"));
        }
    });
    dom::on_document("focusin", |event| {
        let Some(menu) = dom::find(".menu:popover-open") else { return };
        let button = format!(".menu:popover-open, [popovertarget={}]", menu.id());
        if dom::target(&event, &button).is_none() {
            hide(&menu);
        }
    });
}

/// Closes a menu.
pub(super) fn hide(menu: &Element) {
    let _ = menu.unchecked_ref::<HtmlElement>().hide_popover();
}
