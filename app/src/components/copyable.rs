//! Values to copy.

use super::browser;
use super::icon::Icon;
use crate::text;
use leptos::prelude::*;

/// A value with a button that copies it, and a live region that says so. One listener for the whole page
/// serves all of them: see [`browser::serve_copy_buttons`].
#[component]
pub fn Copyable(
    /// What the value is, for the button's name.
    what: &'static str,
    /// The value.
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

/// Brings the copy buttons of a page to life that has no other live part.
#[island]
pub fn CopyButtons() -> impl IntoView {
    Effect::new(|_| browser::serve_copy_buttons());
}
