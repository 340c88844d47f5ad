//! Toasts: messages about the result of an action.

use super::icon::Icon;
use crate::text;
use leptos::prelude::*;
use std::time::Duration;

/// How long a success message is shown. An error message stays until it is dismissed.
const SHOWN_FOR: Duration = Duration::from_secs(8);

/// The current message: a success or an error. Empty means none.
#[derive(Default)]
struct Message {
    success: String,
    error: String,
    /// Incremented for each message, to distinguish messages with the same text.
    sequence: u32,
}

/// The toast of a page: shows one message at a time.
#[derive(Clone, Copy)]
pub struct Toaster {
    message: RwSignal<Message>,
}

impl Toaster {
    /// Creates a toaster without a message.
    #[must_use]
    pub fn new() -> Self {
        Self { message: RwSignal::new(Message::default()) }
    }

    /// Shows a success message for a limited time. Does nothing if the text is empty.
    pub fn succeed(self, text: String) {
        if text.is_empty() {
            return;
        }
        let sequence = self.show(text, String::new());
        let clear_unless_replaced = move || {
            if self.message.with_untracked(|message| message.sequence == sequence) {
                self.clear();
            }
        };
        #[cfg(feature = "hydrate")]
        set_timeout(clear_unless_replaced, SHOWN_FOR);
        #[cfg(not(feature = "hydrate"))]
        let _ = (clear_unless_replaced, SHOWN_FOR);
    }

    /// Shows an error message until it is dismissed or replaced.
    pub fn fail(self, text: String) {
        self.show(String::new(), text);
    }

    /// Removes the current message.
    pub fn clear(self) {
        self.fail(String::new());
    }
}

impl Toaster {
    /// Replaces the message and returns its sequence number.
    fn show(self, success: String, error: String) -> u32 {
        let sequence = self.message.with_untracked(|message| message.sequence) + 1;
        self.message.set(Message { success, error, sequence });
        sequence
    }
}

impl Default for Toaster {
    fn default() -> Self {
        Self::new()
    }
}

/// Renders the toast. A modal dialog contains its own instance, because assistive technology ignores everything outside
/// an open modal dialog.
///
/// The live regions exist before their text is set (WCAG 2.2, 4.1.3). While both are empty, the toast is hidden.
#[component]
pub fn Toasts(toaster: Toaster) -> impl IntoView {
    view! {
        <div class="toast">
            <p role="status">{move || toaster.message.with(|message| non_empty(&message.success))}</p>
            <p role="alert">{move || toaster.message.with(|message| non_empty(&message.error))}</p>
            <button type="button" class="icon-button" aria-label=text::DISMISS on:click=move |_| toaster.clear()>
                <Icon name="close" />
            </button>
        </div>
    }
}

/// Returns `None` for an empty text. Leptos renders an empty text as a space, and then `:empty` does not match the
/// region.
fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
