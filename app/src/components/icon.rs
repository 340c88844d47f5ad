//! Icons from one SVG sprite.

use leptos::prelude::*;

/// The symbol `name` of `public/icons.svg`. It is decorative and hidden from assistive technology: the element around
/// it must have its own text or label.
#[component]
pub fn Icon(name: &'static str) -> impl IntoView {
    view! {
        <svg class="icon" aria-hidden="true">
            <use href=format!("/icons.svg#{name}")></use>
        </svg>
    }
}
