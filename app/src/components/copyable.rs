//! Values with a copy button.

use super::browser;
use super::icon::Icon;
use crate::text;
use leptos::prelude::*;

/// A value with a copy button and a live region for the result. One event listener handles all copy buttons of the
/// page: see [`browser::serve_copy_buttons`].
#[component]
pub fn Copyable(
    /// Name of the value, for the accessible name of the button.
    what: &'static str,
    /// The value to copy.
    value: String,
) -> impl IntoView {
    view! {
        <span class="copyable" data-what=what>
            <code translate="no">{value}</code>
            <button type="button" class="icon-button copy" aria-label=text::copy_label(what)>
                <Icon name="copy" />
            </button>
            <span role="status" class="copied"></span>
        </span>
    }
}

/// Activates the copy buttons on a page without another island.
#[island]
pub fn CopyButtons() -> impl IntoView {
    Effect::new(|_| browser::serve_copy_buttons());
}
