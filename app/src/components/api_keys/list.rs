//! The page heading with the meter and the button for a new key, and the list of keys.

use super::dialog::NewKeyTemplate;
use super::key_row::KeyRow;
use crate::components::icon::Icon;
use crate::components::mechas::actions::Actions;
use crate::components::mechas::header::MechaHeader;
use crate::components::mechas::runtimes::{History, Runtimes};
use crate::routes::Dialog;
use crate::text::{self, keys, mechas};
use crate::view::key::KeyListView;
use leptos::either::Either;
use leptos::prelude::*;

/// Tenths of the limit from which on the number of keys is also a bar.
const METER_FROM: u32 = 7;

/// The part of the page that each change replaces. Its `data-now` tells a newer list from an older one.
#[component]
pub(super) fn Keys(list: KeyListView) -> impl IntoView {
    let page = list.page();
    let KeyListView { now, count, limit, is_full, mecha, owner, .. } = list.clone();
    let is_of_mecha = owner.mecha().is_some();
    let label = if is_of_mecha { mechas::ISSUE } else { keys::GENERATE };
    let title = if is_of_mecha {
        Either::Left(view! { <h2>{mechas::KEYS}</h2> })
    } else {
        Either::Right(view! {
            <h1>{keys::TITLE}</h1>
            <p class="lead">{keys::LEAD}</p>
        })
    };
    let (empty_title, empty) = if is_of_mecha {
        (mechas::KEYS_EMPTY_TITLE, mechas::KEYS_EMPTY)
    } else {
        (keys::EMPTY_TITLE, keys::EMPTY)
    };
    let new_key = (!is_full).then(|| view! { <NewKeyTemplate list=list.clone() /> });
    let is_empty = list.keys.is_empty();
    let rows = if is_empty {
        Either::Left(view! {
            <section class="empty" aria-labelledby="empty-title">
                <Icon name="key" />
                <h2 id="empty-title">{empty_title}</h2>
                <p>{empty}</p>
                <GenerateButton id="generate-first" page=page.clone() label is_full />
            </section>
        })
    } else {
        let rows = list.keys.into_iter().map(|key| view! { <KeyRow key now /> }).collect_view();
        let columns = [
            keys::NAME_COLUMN,
            keys::KEY_ID,
            keys::SECRET,
            keys::CREATED,
            keys::EXPIRY,
            keys::USED,
            keys::REQUESTS,
            keys::STATUS,
        ];
        // Each row has the terms of its values, so the head of the columns is only for the eye.
        Either::Right(view! {
            <div class="keys">
                <div class="key-columns" aria-hidden="true">
                    {columns.map(|name| view! { <span>{name}</span> }).into_iter().collect_view()}
                </div>
                <ul aria-label=keys::YOUR_KEYS>{rows}</ul>
            </div>
        })
    };
    let here = page.clone();
    view! {
        <div id="list" data-now=now.0 data-page=here>
            {mecha.clone().map(|mecha| view! { <MechaHeader mecha=mecha.clone() now />
                    <Runtimes mecha=mecha.clone() now />
                    <Actions mecha /> })}
            <header class="page-head">
                <div>{title}</div>
                <div class="page-act">
                    {count_of_keys(count, limit)}
                    {(!is_empty).then(|| view! { <GenerateButton id="generate" page label is_full /> })}
                </div>
            </header>
            <div class="notice" id="full" hidden=!is_full>
                <Icon name="info" />
                <p>{keys::full(count, limit)}</p>
            </div>
            {rows}
            {new_key}
            {mecha.map(|mecha| view! { <History mecha /> })}
        </div>
    }
}

/// The number of keys, and a bar once the limit is near.
fn count_of_keys(count: u32, limit: u32) -> impl IntoView {
    if u64::from(count) * 10 < u64::from(limit) * u64::from(METER_FROM) {
        return Either::Left(view! { <p class="meter">{text::meter(count, limit)}</p> });
    }
    Either::Right(view! {
        <div class="meter">
            <label for="meter">{text::meter(count, limit)}</label>
            <meter id="meter" min="0" max=limit value=count></meter>
        </div>
    })
}

/// At the limit, the button does nothing and says why. It stays focusable, so that every user can find the reason.
#[component]
fn GenerateButton(id: &'static str, page: String, label: &'static str, is_full: bool) -> impl IntoView {
    view! {
        <form action=page>
            <button
                id=id
                type=if is_full { "button" } else { "submit" }
                class="button primary"
                name="dialog"
                value=Dialog::Generate.parts().0
                aria-disabled=is_full.then_some("true")
                aria-describedby=is_full.then_some("full")
            >
                <Icon name="plus" />
                {label}
            </button>
        </form>
    }
}
