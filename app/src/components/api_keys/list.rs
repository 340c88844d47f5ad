//! The page heading with the meter and the button for a new key, and the list of keys.

use super::state::State;
use crate::components::icon::Icon;
use crate::domain::api_key::{ApiKey, KeyList, LIMIT};
use crate::domain::timestamp::Timestamp;
use crate::routes::{Dialog, Done, HOME};
use crate::text::{self, keys};
use leptos::either::Either;
use leptos::prelude::*;

/// Renders the page without the dialog.
pub(super) fn keys(state: State, list: &KeyList) -> impl IntoView + use<> {
    let count = list.live_count();
    let is_full = list.is_full();
    let now = list.now;
    let rows = if list.keys.is_empty() {
        Either::Left(view! {
            <section class="empty" aria-labelledby="empty-title">
                <Icon name="key" />
                <h2 id="empty-title">{keys::EMPTY_TITLE}</h2>
                <p>{keys::EMPTY}</p>
                <GenerateButton state is_full />
            </section>
        })
    } else {
        let rows =
            list.keys.iter().map(|key| view! { <li inner_html=html_of(key, now)></li> }).collect_view();
        Either::Right(view! {
            <ul
                class="keys"
                aria-label=keys::YOUR_KEYS
                on:click=move |event| state.follow(&event)
                on:submit=move |event| state.submit(&event, Done::SwitchedOn)
            >
                {rows}
            </ul>
        })
    };
    view! {
        <header class="page-head">
            <div>
                <h1>{keys::TITLE}</h1>
                <p class="lead">{keys::LEAD}</p>
            </div>
            <div class="page-act">
                <div class="meter">
                    <label for="meter">{text::meter(count)}</label>
                    <meter id="meter" min="0" max=LIMIT value=count></meter>
                </div>
                <GenerateButton state is_full />
            </div>
        </header>
        <div class="notice" id="full" hidden=!is_full>
            <Icon name="info" />
            <p>{keys::FULL}</p>
        </div>
        {rows}
    }
}

/// The HTML of a row. The server renders it here; in the browser, the server's response already contains it.
fn html_of(key: &ApiKey, now: Timestamp) -> String {
    #[cfg(feature = "ssr")]
    return super::key_row::row(key, now);
    #[cfg(not(feature = "ssr"))]
    {
        let _ = now;
        key.html.clone()
    }
}

#[component]
fn GenerateButton(state: State, is_full: bool) -> impl IntoView {
    view! {
        <form action=HOME>
            <input type="hidden" name="dialog" value=Dialog::Generate.parts().0 />
            <button
                class="button primary"
                disabled=is_full
                aria-describedby=is_full.then_some("full")
                on:click=move |event| {
                    event.prevent_default();
                    state.show(&Dialog::Generate);
                }
            >
                <Icon name="plus" />
                {keys::GENERATE}
            </button>
        </form>
    }
}
