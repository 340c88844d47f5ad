//! Values to copy.

use super::browser;
use super::icon::Icon;
use crate::text;
use leptos::prelude::*;
use leptos::task::spawn_local;
use web_sys::Element;

/// A value with a button that copies it, and a live region that says so.
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
            <button
                type="button"
                class="icon-button copy"
                aria-label=text::copy_label(what)
                on:click=move |event| {
                    if let Some(place) = browser::closest::<Element>(&event, ".copyable") {
                        spawn_local(async move { browser::copy_within(&place).await });
                    }
                }
            >
                <Icon name="copy" />
            </button>
            <span role="status" class="copied"></span>
        </span>
    }
}
