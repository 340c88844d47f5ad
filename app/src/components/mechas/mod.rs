//! Mechas: their list, and the header of the page of one. Its keys are those of [`super::api_keys`].

pub(crate) mod actions;
pub(crate) mod dialog;
pub(crate) mod header;
pub(crate) mod runtimes;

use super::api_keys::dialog::{Dialog, Templates};
use super::icon::Icon;
use super::toast::Toast;
use crate::domain::key_policy::KEYS_PER_MECHA;
use crate::domain::mecha::Mecha;
use crate::domain::runtime::{MechaList, MechaState};
use crate::domain::timestamp::Timestamp;
use crate::islands::Enhancements;
use crate::routes::{MECHAS, MECHAS_EVENTS, MechaDialog, mecha_page};
use crate::text::{self, mechas, runtimes as texts};
use crate::view::dialog::DialogView;
use leptos::either::Either;
use leptos::prelude::*;

/// All Mechas, the dialog that is open, and the message about the last action.
#[component]
pub fn Mechas(
    /// All Mechas.
    list: MechaList,
    /// The open dialog.
    dialog: Option<DialogView>,
    /// The success of the action that led to this page; may be empty.
    done: &'static str,
    /// Why an action outside a dialog failed; may be empty.
    failure: String,
) -> impl IntoView {
    let is_covered = dialog.is_some();
    view! {
        <div inert=is_covered data-events=MECHAS_EVENTS>
            <Cards list />
            <Toast done failure />
        </div>
        <Dialog page=MECHAS.to_owned() dialog />
        <Templates page=MECHAS.to_owned() />
        <Enhancements />
    }
}

/// The list as an HTML fragment, for live events.
#[must_use]
pub fn mechas_html(list: MechaList) -> String {
    view! { <Cards list /> }.to_html()
}

/// The part of the page that each change replaces.
#[component]
fn Cards(list: MechaList) -> impl IntoView {
    let (is_full, limit, count, now) = (list.is_full(), list.limit, list.mechas.len(), list.now);
    let cards = if list.mechas.is_empty() {
        Either::Left(view! {
            <section class="empty" aria-labelledby="empty-title">
                <Icon name="mecha" />
                <h2 id="empty-title">{mechas::EMPTY_TITLE}</h2>
                <p>{mechas::EMPTY}</p>
                <NewButton is_full />
            </section>
        })
    } else {
        Either::Right(view! {
            <ul class="mechas" aria-label=mechas::YOUR_MECHAS>
                {list.mechas.into_iter().map(|(mecha, state)| card(&mecha, state, now)).collect_view()}
            </ul>
        })
    };
    view! {
        <div id="list" data-now=now.0 data-page=MECHAS>
            <header class="page-head">
                <div>
                    <h1>{mechas::TITLE}</h1>
                    <p class="lead">{mechas::LEAD}</p>
                </div>
                <div class="page-act">
                    <p class="meter">{mechas::count(count, limit)}</p>
                    {(count > 0).then(|| view! { <NewButton is_full /> })}
                </div>
            </header>
            <div class="notice" id="full" hidden=!is_full>
                <Icon name="info" />
                <p>{mechas::full(limit)}</p>
            </div>
            {cards}
        </div>
    }
}

/// At the limit, the button does nothing and says why. It stays focusable, so that every user can find the reason.
#[component]
fn NewButton(is_full: bool) -> impl IntoView {
    view! {
        <form action=MECHAS>
            <button
                id="new-mecha"
                type=if is_full { "button" } else { "submit" }
                class="button primary"
                name="dialog"
                value=MechaDialog::New.name()
                aria-disabled=is_full.then_some("true")
                aria-describedby=is_full.then_some("full")
            >
                <Icon name="plus" />
                {mechas::NEW}
            </button>
        </form>
    }
}

fn card(mecha: &Mecha, state: MechaState, now: Timestamp) -> impl IntoView + use<> {
    view! {
        <li class="mecha">
            <h2 class="key-name" dir="auto">
                <a href=mecha_page(&mecha.id)>{mecha.name.clone()}</a>
            </h2>
            <p class="key-description" dir="auto">
                {mecha.description.clone()}
            </p>
            <p>{off_badge(mecha)} " " {texts::state(mecha, state, now)}</p>
            <p class="quiet">{text::meter(mecha.keys, KEYS_PER_MECHA)}</p>
        </li>
    }
}

fn off_badge(mecha: &Mecha) -> impl IntoView + use<> {
    (!mecha.active).then(|| {
        view! {
            <span class="badge">
                <Icon name="pause" />
                {mechas::INACTIVE}
            </span>
        }
    })
}
