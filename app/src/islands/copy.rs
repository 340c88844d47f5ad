//! Copy buttons.

use super::dom;
use crate::text;
use leptos::prelude::{document, window};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{Element, HtmlDocument};

/// How long *Copied* is shown, in milliseconds.
const COPIED_SHOWN_FOR: i32 = 4_000;
/// Marks a value that was copied.
const COPIED: &str = "data-copied";
/// Marks a value that was copied just now: its icon is a check.
const JUST_COPIED: &str = "data-just-copied";

/// Handles clicks on copy buttons, and recognises values that were copied by hand.
pub(super) fn enable() {
    dom::on_document("click", |event| {
        if let Some(button) = dom::target(&event, ".copy")
            && let Some(value) = button.parent_element()
        {
            spawn_local(async move { copy_value(&value).await });
        }
    });
    dom::on_document("copy", |_| {
        let Some(dialog) = dom::find("#dialog") else { return };
        for value in dom::find_all(&dialog, "[data-secret]") {
            if dom::find_in(&value, "code").is_some_and(|code| is_selected(&code)) {
                dom::set(&value, COPIED, "");
            }
        }
    });
}

/// Whether the open dialog shows a secret that was not copied yet, neither by itself nor as part of an example.
pub(super) fn has_uncopied_secret() -> bool {
    let copied = format!("#dialog [data-secret][{COPIED}]");
    dom::find("#dialog [data-secret]").is_some() && dom::find(&copied).is_none()
}

/// Whether the selection contains the whole text of an element.
fn is_selected(code: &Element) -> bool {
    let Ok(Some(selection)) = window().get_selection() else { return false };
    let selected = js_sys::Object::from(JsValue::from(selection)).to_string();
    selected.includes(&code.text_content().unwrap_or_default(), 0)
}

/// Copies the text of the `code` element in `value`, and reports the result.
///
/// The Clipboard API exists only in secure contexts (HTTPS or localhost). Elsewhere, the text is selected and copied
/// with `execCommand`. If that fails too, the selection stays, so that the user can press Ctrl+C.
async fn copy_value(value: &Element) {
    let (Some(code), Some(failure)) = (dom::find_in(value, "code"), dom::find_in(value, ".copy-failed"))
    else {
        return;
    };
    let is_copied = copy_text(&code).await.is_ok();
    let text = if is_copied { text::COPIED } else { text::COPY_FAILED };
    dom::announce(text);
    failure.set_text_content((!is_copied).then_some(text));
    if is_copied {
        dom::set(value, COPIED, "");
        dom::toggle(value, JUST_COPIED, true);
        let value = value.clone();
        dom::after(COPIED_SHOWN_FOR, move || {
            dom::toggle(&value, JUST_COPIED, false);
            dom::announce("");
        });
    }
}

async fn copy_text(code: &Element) -> Result<(), JsValue> {
    let clipboard = window().navigator().clipboard();
    let text = code.text_content().unwrap_or_default();
    if !clipboard.is_undefined() && JsFuture::from(clipboard.write_text(&text)).await.is_ok() {
        return Ok(());
    }
    let document: HtmlDocument = document().unchecked_into();
    document.get_selection()?.ok_or(JsValue::NULL)?.select_all_children(code)?;
    if document.exec_command("copy")? { Ok(()) } else { Err(JsValue::NULL) }
}
