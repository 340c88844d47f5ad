//! Icons, from one sprite.

use leptos::prelude::*;

/// The symbol `name` of `public/icons.svg`, decorative: whatever it stands in has words of its own.
#[component]
pub fn Icon(name: &'static str) -> impl IntoView {
    view! {
        <svg class="icon" aria-hidden="true">
            <use href=format!("/icons.svg#{name}")></use>
        </svg>
    }
}
