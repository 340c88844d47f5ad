//! One row of the key list, rendered on the server only. The island inserts its HTML and handles its events.

use crate::components::copyable::Copyable;
use crate::components::icon::Icon;
use crate::components::moment::Moment;
use crate::domain::api_key::{ApiKey, KeyId, KeyList, Status};
use crate::domain::timestamp::Timestamp;
use crate::routes::{Dialog, HOME};
use crate::server_fns::keys::SetKeyActive;
use crate::text::time::{date, duration, since};
use crate::text::{self, keys};
use leptos::prelude::*;
use leptos::server_fn::ServerFn;

/// Renders the row of each key into [`ApiKey::html`].
#[must_use]
pub fn shown(mut list: KeyList) -> KeyList {
    for key in &mut list.keys {
        key.html = row(key, list.now);
    }
    list
}

/// Renders the row of a key at `now`.
pub(super) fn row(key: &ApiKey, now: Timestamp) -> String {
    let status = key.status(now);
    let description = (!key.description.is_empty())
        .then(|| view! { <p class="key-description">{key.description.clone()}</p> });
    let expiry = match (key.expires_at, key.remaining(now)) {
        (None, _) => keys::NO_EXPIRY.to_owned(),
        (Some(_), Some(left)) => text::expires_in(&duration(left)),
        (Some(at), None) => text::expired_on(&date(at)),
    };
    let old = key.working_old(now).map(|old| {
        let words = text::old_secret(&old.last_four, old.until, old.ends_on_use);
        let retire = Dialog::Retire(key.id.clone());
        view! {
            <form class="key-old" action=HOME>
                <input type="hidden" name="key_id" value=key.id.as_str().to_owned() />
                <Moment at=Some(old.until) text=words />
                <button class="button quiet small" name="dialog" value=retire.parts().0>
                    {keys::RETIRE}
                </button>
            </form>
        }
    });
    let used = key.last_used_at.map_or_else(|| keys::NEVER_USED.to_owned(), |at| text::ago(&since(at, now)));
    let facts = [
        fact(keys::SECRET, None, format!("…{}", key.last_four)),
        fact(keys::CREATED, Some(key.created_at), date(key.created_at)),
        fact(keys::EXPIRY, key.expires_at, expiry),
        fact(keys::USED, key.last_used_at, used),
    ];
    view! {
        <div class="key" data-dimmed=status != Status::Active>
            <div class="key-main">
                <div class="key-title">
                    <h2 class="key-name">{key.name.clone()}</h2>
                    <Badge key=key.clone() now />
                </div>
                <p class="key-id">
                    <span class="term">{keys::KEY_ID}</span>
                    <Copyable what=keys::KEY_ID value=key.id.as_str().to_owned() />
                </p>
                {description}
            </div>
            <div class="key-act">
                <Switch key=key.clone() status />
                <Menu key=key.clone() status now />
            </div>
            <dl class="key-facts">{facts}</dl>
            {old}
        </div>
    }
    .to_html()
}

/// A term and its value, with the exact time in a tooltip if there is one.
fn fact(term: &'static str, at: Option<Timestamp>, text: String) -> impl IntoView + use<> {
    view! {
        <div>
            <dt>{term}</dt>
            <dd>
                <Moment at text />
            </dd>
        </div>
    }
}

/// A badge for a key that is expired, switched off or expiring soon; nothing for other keys.
#[component]
fn Badge(key: ApiKey, now: Timestamp) -> impl IntoView {
    let (kind, icon, words) = match key.status(now) {
        Status::Expired => ("danger", "clock", keys::EXPIRED),
        Status::Inactive => ("quiet", "pause", keys::INACTIVE),
        Status::Active if key.is_expiring_soon(now) => ("warning", "clock", keys::EXPIRING_SOON),
        Status::Active => return None,
    };
    Some(view! {
        <span class="badge" data-kind=kind>
            <Icon name=icon />
            {words}
        </span>
    })
}

/// The on/off switch of a key. Switching on needs no confirmation; switching off opens a dialog to confirm.
#[component]
fn Switch(key: ApiKey, status: Status) -> impl IntoView {
    let is_on = status == Status::Active;
    view! {
        <form method="post" action=SetKeyActive::PATH>
            <input type="hidden" name="key_id" value=key.id.as_str().to_owned() />
            <input type="hidden" name="active" value="true" disabled=is_on />
            <button
                id=format!("switch-{}", key.id.as_str())
                class="switch"
                role="switch"
                aria-checked=if is_on { "true" } else { "false" }
                aria-label=text::switch_label(&key.name)
                disabled=status == Status::Expired
                name=is_on.then_some("dialog")
                value=is_on.then_some("switch-off")
                formmethod=is_on.then_some("get")
                formaction=is_on.then_some(HOME)
            >
                <span class="switch-track"></span>
                <span class="switch-words">{if is_on { keys::ACTIVE } else { keys::INACTIVE }}</span>
            </button>
        </form>
    }
}

/// The actions menu of a key, a native popover. With or without a script, the browser opens it, closes it on Escape and
/// on outside clicks, and restores the focus.
#[component]
fn Menu(key: ApiKey, status: Status, now: Timestamp) -> impl IntoView {
    let menu = format!("menu-{}", key.id.as_str());
    let cannot_refresh = match (status, key.expires_at) {
        (Status::Expired, _) => Some(keys::REFRESH_EXPIRED),
        (_, None) => Some(keys::REFRESH_ENDLESS),
        _ => None,
    };
    let cannot_rotate = match status {
        Status::Expired => Some(keys::ROTATE_EXPIRED),
        _ => key.working_old(now).map(|_| keys::ROTATING),
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
        <form id=menu class="menu" popover="auto" action=HOME aria-label=text::menu_label(&key.name)>
            <input type="hidden" name="key_id" value=key.id.as_str().to_owned() />
            <MenuItem dialog=Dialog::Rename icon="pencil" label=keys::RENAME id=key.id.clone() />
            <MenuItem
                dialog=Dialog::Refresh
                icon="refresh"
                label=keys::REFRESH
                id=key.id.clone()
                why_not=cannot_refresh
            />
            <MenuItem
                dialog=Dialog::Rotate
                icon="rotate"
                label=keys::ROTATE
                id=key.id.clone()
                why_not=cannot_rotate
            />
            <MenuItem dialog=Dialog::Usage icon="list" label=keys::USAGE id=key.id.clone() />
            <MenuItem dialog=Dialog::Delete icon="trash" label=keys::DELETE id=key.id.clone() />
        </form>
    }
}

#[component]
fn MenuItem(
    dialog: fn(KeyId) -> Dialog,
    icon: &'static str,
    label: &'static str,
    id: KeyId,
    /// Why the item is disabled; `None` if it is enabled.
    #[prop(default = None)]
    why_not: Option<&'static str>,
) -> impl IntoView {
    let dialog = dialog(id);
    view! {
        <button
            class="menu-item"
            name="dialog"
            value=dialog.parts().0
            disabled=why_not.is_some()
            title=why_not
        >
            <Icon name=icon />
            {label}
        </button>
    }
}
