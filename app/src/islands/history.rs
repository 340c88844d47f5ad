//! The history entries of dialogs, so that Back closes a dialog first.

use leptos::prelude::window;
use wasm_bindgen::JsValue;

/// The state of an entry that was added for a dialog.
const DIALOG: &str = "dialog";

/// The current URL.
pub(super) fn url() -> String {
    window().location().href().unwrap_or_default()
}

/// Whether the current URL names a dialog.
pub(super) fn has_query() -> bool {
    window().location().search().is_ok_and(|query| !query.is_empty())
}

/// Whether the current entry was added for a dialog.
pub(super) fn is_at_dialog() -> bool {
    window().history().and_then(|history| history.state()).is_ok_and(|state| state == DIALOG)
}

/// Adds an entry for a dialog with this URL.
pub(super) fn enter(url: &str) {
    if let Ok(history) = window().history() {
        let _ = history.push_state_with_url(&JsValue::from_str(DIALOG), "", Some(url));
    }
}

/// Replaces the URL of the current entry, such as that of an action, so that a reload requests the page and repeats no
/// action.
pub(super) fn replace(url: &str) {
    if let Ok(history) = window().history() {
        let state = history.state().unwrap_or_default();
        let _ = history.replace_state_with_url(&state, "", Some(url));
    }
}

/// Leaves the entry of a dialog that was closed.
pub(super) fn leave() {
    if is_at_dialog()
        && let Ok(history) = window().history()
    {
        let _ = history.back();
    }
}
