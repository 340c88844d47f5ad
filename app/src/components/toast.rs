//! What was done, or why not, told for a while at the edge of the page.

use super::icon::Icon;
use crate::text;
use leptos::prelude::*;
use std::time::Duration;

/// How long a success stays on show. A failure stays until it is dismissed.
const SHOWN_FOR: Duration = Duration::from_secs(8);

/// What was done, or why something was not; empty is nothing.
#[derive(Default)]
struct Said {
    done: String,
    why: String,
    /// Counts, so that two messages of the same words are two.
    turn: u32,
}

/// What is on show.
#[derive(Clone, Copy)]
pub struct Toaster {
    said: RwSignal<Said>,
}

impl Toaster {
    /// Nothing on show.
    #[must_use]
    pub fn new() -> Self {
        Self { said: RwSignal::new(Said::default()) }
    }

    /// Says what was done.
    pub fn succeed(self, done: String) {
        if done.is_empty() {
            return;
        }
        let turn = self.say(done, String::new());
        let unless_replaced = move || {
            if self.said.with_untracked(|said| said.turn == turn) {
                self.clear();
            }
        };
        #[cfg(feature = "hydrate")]
        set_timeout(unless_replaced, SHOWN_FOR);
        #[cfg(not(feature = "hydrate"))]
        let _ = (unless_replaced, SHOWN_FOR);
    }

    /// Says why something was not done.
    pub fn fail(self, why: String) {
        self.say(String::new(), why);
    }

    /// Takes away what is on show.
    pub fn clear(self) {
        self.fail(String::new());
    }
}

impl Toaster {
    fn say(self, done: String, why: String) -> u32 {
        let turn = self.said.with_untracked(|said| said.turn) + 1;
        self.said.set(Said { done, why, turn });
        turn
    }
}

impl Default for Toaster {
    fn default() -> Self {
        Self::new()
    }
}

/// The place where toasts appear. A dialog has one of its own: while it is open, nothing outside it is
/// seen by assistive technology.
///
/// The live regions are there before their text (WCAG 2.2, 4.1.3); while they are empty, nothing shows.
#[component]
pub fn Toasts(toaster: Toaster) -> impl IntoView {
    view! {
        <div class="toast">
            <p role="status">{move || toaster.said.with(|said| unless_empty(&said.done))}</p>
            <p role="alert">{move || toaster.said.with(|said| unless_empty(&said.why))}</p>
            <button type="button" class="icon-button" aria-label=text::DISMISS on:click=move |_| toaster.clear()>
                <Icon name="close" />
            </button>
        </div>
    }
}

/// An empty text would be rendered as a space, and a region with a space in it is not empty.
fn unless_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
