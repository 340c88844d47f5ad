//! The header of the page of a Mecha.

use crate::components::icon::Icon;
use crate::domain::timestamp::Timestamp;
use crate::routes::{Action, MECHAS, MechaDialog, mecha_page};
use crate::text::{self, mechas, runtimes};
use crate::view::mecha::MechaView;
use leptos::prelude::*;

/// The name of a Mecha, its state, its switch and its menu.
#[component]
pub(crate) fn MechaHeader(mecha: MechaView, now: Timestamp) -> impl IntoView {
    let MechaView { mecha, state, .. } = mecha;
    let page = mecha_page(&mecha.id);
    let id = mecha.id.as_str().to_owned();
    let off = (!mecha.active).then(|| {
        view! {
            <div class="notice" data-kind="warning">
                <Icon name="pause" />
                <p>{mechas::OFF}</p>
            </div>
        }
    });
    let word = if mecha.active { mechas::ACTIVE } else { mechas::INACTIVE };
    let (method, action) = match mecha.active {
        true => ("get", page.clone()),
        false => ("post", Action::SetMechaActive.path().to_owned()),
    };
    let item = |dialog: MechaDialog, icon, label| {
        view! {
            <button class="menu-item" name="dialog" value=dialog.name()>
                <Icon name=icon />
                {label}
            </button>
        }
    };
    let label = text::menu_label(&mecha.name);
    view! {
        <header class="page-head">
            <div>
                <p>
                    <a href=MECHAS>{mechas::TITLE}</a>
                </p>
                <h1 dir="auto">{mecha.name.clone()}</h1>
                <p>{runtimes::state(&mecha, state, now)}</p>
                <p class="key-description" dir="auto">
                    {mecha.description.clone()}
                </p>
            </div>
            <div class="key-act">
                <form method=method action=action>
                    <input type="hidden" name="mecha_id" value=id disabled=mecha.active />
                    <input type="hidden" name="active" value="true" disabled=mecha.active />
                    <button
                        id="switch-mecha"
                        class="switch"
                        role="switch"
                        aria-checked=if mecha.active { "true" } else { "false" }
                        aria-label=text::switch_label(word, &mecha.name)
                        name=mecha.active.then_some("dialog")
                        value=mecha.active.then_some(MechaDialog::SwitchOff.name())
                    >
                        <span class="switch-track"></span>
                        <span class="switch-words">{word}</span>
                    </button>
                </form>
                <button
                    type="button"
                    id="actions-mecha"
                    class="icon-button"
                    popovertarget="menu-mecha"
                    aria-label=label.clone()
                >
                    <Icon name="more" />
                </button>
                <form id="menu-mecha" class="menu" popover="auto" action=page aria-label=label>
                    {item(MechaDialog::Describe, "pencil", mechas::DESCRIBE)}
                    {item(MechaDialog::Delete, "trash", mechas::DELETE)}
                </form>
            </div>
        </header>
        {off}
    }
}
