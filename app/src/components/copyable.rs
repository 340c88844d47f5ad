//! Values with a copy button.

use super::icon::Icon;
use crate::text;
use leptos::prelude::*;

/// A value with a copy button, which the island [`crate::islands::Enhancements`] activates.
#[component]
pub fn Copyable(
    /// What is copied, for the accessible name of the button, such as `Key ID of Deploy`.
    #[prop(into)]
    what: String,
    /// The value to copy.
    value: String,
    /// The id of the button; may be empty.
    #[prop(optional, into)]
    id: String,
    /// Whether the value contains a new secret, which must be copied before its dialog is closed.
    #[prop(optional)]
    is_secret: bool,
    /// The visible text of the button; without one, it is an icon.
    #[prop(optional)]
    button: &'static str,
) -> impl IntoView {
    let is_icon = button.is_empty();
    view! {
        <span class="copyable" data-secret=is_secret>
            <code translate="no">{value}</code>
            <button
                type="button"
                id=(!id.is_empty()).then_some(id)
                class=if is_icon { "icon-button copy" } else { "button primary copy" }
                aria-label=is_icon.then(|| text::copy_label(&what))
            >
                <Icon name="copy" />
                <Icon name="check" />
                {(!is_icon).then_some(button)}
            </button>
            <span class="copy-failed" aria-hidden="true"></span>
        </span>
    }
}

/// The live region that announces what happens in its dialog, or on its page (WCAG 2.2, 4.1.3). It exists before its
/// text is set, and is not visible: what it announces is visible elsewhere.
#[component]
pub fn Announcer() -> impl IntoView {
    view! { <p class="visually-hidden" role="status" data-announcer=""></p> }
}
