//! The toast: a message about the result of an action.

use super::icon::Icon;
use crate::text;
use leptos::prelude::*;

/// Shows the success or the failure of the last action. It is hidden while it has no text.
///
/// The live regions exist before their text is set (WCAG 2.2, 4.1.3).
#[component]
pub fn Toast(
    /// The success; may be empty.
    done: &'static str,
    /// The failure; may be empty.
    failure: String,
) -> impl IntoView {
    view! {
        <div class="toast" id="toast">
            // Leptos renders an empty text as a space, and then `:empty` does not match.
            <p role="status">{(!done.is_empty()).then_some(done)}</p>
            <p role="alert">{(!failure.is_empty()).then_some(failure)}</p>
            <button type="button" class="icon-button" aria-label=text::DISMISS data-do="dismiss">
                <Icon name="close" />
            </button>
        </div>
    }
}
