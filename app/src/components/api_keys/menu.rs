//! The ⋮ menu of a key.

use crate::components::icon::Icon;
use crate::domain::activity::ActivityQuery;
use crate::domain::api_key::KeyId;
use crate::routes::{Dialog, activity_url, page_of};
use crate::text::{self, keys};
use crate::view::key::{KeyView, Obstacle};
use leptos::prelude::*;

/// The actions of a key, a native popover. With or without a script, the browser opens it, closes it on Escape and on
/// outside clicks, and restores the focus.
#[component]
pub(super) fn Menu(key: KeyView) -> impl IntoView {
    let menu = format!("menu-{}", key.id.as_str());
    let item = |dialog: fn(KeyId) -> Dialog, icon, label, obstacle| {
        view! { <MenuItem dialog=dialog(key.id.clone()) icon label obstacle /> }
    };
    view! {
        <button
            type="button"
            id=format!("actions-{}", key.id.as_str())
            class="icon-button"
            popovertarget=menu.clone()
            aria-label=text::menu_label(&key.name)
        >
            <Icon name="more" />
        </button>
        <form id=menu class="menu" popover="auto" action=page_of(&key.owner) aria-label=text::menu_label(&key.name)>
            <input type="hidden" name="key_id" value=key.id.as_str().to_owned() />
            {item(Dialog::Rename, "pencil", keys::RENAME, None)}
            {item(Dialog::Edit, "pencil", keys::EDIT, None)}
            {item(Dialog::Refresh, "refresh", keys::REFRESH, key.cannot_refresh.map(why_not_refresh))}
            {item(Dialog::Rotate, "rotate", keys::ROTATE, key.cannot_rotate.map(why_not_rotate))}
            {item(Dialog::Usage, "chart", keys::USAGE, None)}
            <a class="menu-item" href=activity_url(&ActivityQuery { key: Some(key.id.clone()), ..ActivityQuery::default() })>
                <Icon name="list" />
                {keys::ACTIVITY}
            </a>
            {item(Dialog::Delete, "trash", keys::DELETE, None)}
        </form>
    }
}

/// An item of the menu. One that is not possible stays focusable, does nothing, and says why in a second line: touch
/// devices have no tooltips. The second line describes the item; its name is the first.
#[component]
fn MenuItem(
    dialog: Dialog,
    icon: &'static str,
    label: &'static str,
    /// Why the item is disabled; `None` if it is enabled.
    obstacle: Option<&'static str>,
) -> impl IntoView {
    let (name, key) = dialog.parts();
    let note_id = format!("note-{name}-{}", key.map_or("", KeyId::as_str));
    let hint = matches!(dialog, Dialog::Refresh(_)).then_some(keys::REFRESH_HINT);
    let note = obstacle.or(hint);
    let line = note.map(|text| view! { <span class="menu-note" id=note_id.clone()>{text}</span> });
    view! {
        <button
            type=if obstacle.is_some() { "button" } else { "submit" }
            class="menu-item"
            name="dialog"
            value=name
            aria-label=note.is_some().then_some(label)
            aria-disabled=obstacle.is_some().then_some("true")
            aria-describedby=note.is_some().then_some(note_id)
        >
            <Icon name=icon />
            <span>{label} {line}</span>
        </button>
    }
}

fn why_not_refresh(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::NoExpiry => keys::REFRESH_ENDLESS,
        Obstacle::BeyondLimit => keys::REFRESH_BEYOND_LIMIT,
        Obstacle::Expired | Obstacle::Rotating => keys::REFRESH_EXPIRED,
    }
}

fn why_not_rotate(obstacle: Obstacle) -> &'static str {
    match obstacle {
        Obstacle::Rotating => keys::ROTATING,
        Obstacle::Expired | Obstacle::NoExpiry | Obstacle::BeyondLimit => keys::ROTATE_EXPIRED,
    }
}
