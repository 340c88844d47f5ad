//! One row of the key list.

use super::chart::Sparkline;
use super::frame::{OwnerField, PreviousNote};
use super::menu::Menu;
use crate::components::copyable::Copyable;
use crate::components::icon::Icon;
use crate::components::moment::{Date, Moment};
use crate::domain::access::Scope;
use crate::domain::api_key::{PreviousSecret, Status};
use crate::domain::timestamp::Timestamp;
use crate::routes::{Action, Dialog, page_of};
use crate::text::time::ago;
use crate::text::usage::{number, recently_refused, recently_refused_hint};
use crate::text::{self, keys};
use crate::view::key::KeyView;
use leptos::either::{Either, EitherOf3};
use leptos::prelude::*;

/// The row of a key at `now`.
#[component]
pub(super) fn KeyRow(key: KeyView, now: Timestamp) -> impl IntoView {
    let description = (!key.description.is_empty()).then(|| {
        view! {
            <p class="key-description" dir="auto" title=key.description.clone()>
                {key.description.clone()}
            </p>
        }
    });
    let expiry = match key.expires_at {
        None => EitherOf3::A(keys::NO_EXPIRY),
        Some(at) if at > now => EitherOf3::B(view! { <Moment at=Some(at) text=text::expires_in(at, now) /> }),
        // The badge says that it has expired.
        Some(at) => EitherOf3::C(view! { <Date at /> }),
    };
    let used = key.last_used_at.map_or_else(|| keys::NEVER_USED.to_owned(), |at| ago(at, now));
    let previous = key.previous.clone().map(|previous| view! { <Previous key=key.clone() previous /> });
    let denied = key.daily.recently_denied();
    let refused = (denied > 0).then(|| {
        view! {
            " "
            <a
                id=format!("refused-{}", key.id.as_str())
                class="badge"
                data-kind="warning"
                href=Dialog::Usage(key.id.clone()).href(&page_of(&key.owner))
                title=recently_refused_hint(denied)
            >
                <Icon name="alert" />
                {recently_refused(denied)}
            </a>
        }
    });
    let badge = view! { <Badge key=key.clone() /> };
    let scopes = view! { <Scopes key=key.clone() /> };
    let (id, name, last_four) = (key.id.as_str().to_owned(), key.name.clone(), key.last_four.clone());
    let KeyView { created_at, last_used_at, daily, .. } = key;
    let switch = (key.status != Status::Expired).then(|| view! { <Switch key=key.clone() /> });
    view! {
        <li class="key" data-dimmed=key.status != Status::Active>
            <div class="key-main">
                <h2 class="key-name" dir="auto">
                    {key.name.clone()}
                </h2>
                {description}
                {scopes}
            </div>
            <dl class="key-facts">
                <Fact term=keys::KEY_ID>
                    <Copyable id=format!("copy-{id}") what=text::of_key(keys::KEY_ID, &name) value=id />
                </Fact>
                <Fact term=keys::SECRET>"…" {last_four}</Fact>
                <Fact term=keys::CREATED>
                    <Date at=created_at />
                </Fact>
                <Fact term=keys::EXPIRY>
                    {expiry} " " {badge}
                </Fact>
                <Fact term=keys::USED>
                    <Moment at=last_used_at text=used />
                </Fact>
                <Fact term=keys::REQUESTS>
                    <span class="requests">{number(daily.total().allowed)} " " <Sparkline usage=daily /></span>
                    {refused}
                </Fact>
            </dl>
            <div class="key-act">
                {switch}
                <Menu key=key.clone() />
            </div>
            {previous}
        </li>
    }
}

/// A term and its value.
#[component]
fn Fact(term: &'static str, children: Children) -> impl IntoView {
    view! {
        <div>
            <dt>{term}</dt>
            <dd>{children()}</dd>
        </div>
    }
}

/// The note that the previous secret still works, with a button to retire it.
#[component]
fn Previous(key: KeyView, previous: PreviousSecret) -> impl IntoView {
    let retire = Dialog::Retire(key.id.clone());
    view! {
        <form class="key-old" action=page_of(&key.owner)>
            <input type="hidden" name="key_id" value=key.id.as_str().to_owned() />
            <PreviousNote previous />
            <button
                id=format!("retire-{}", key.id.as_str())
                class="button quiet small"
                name="dialog"
                value=retire.parts().0
            >
                {keys::RETIRE}
            </button>
        </form>
    }
}

/// The scopes of a restricted key, collapsed; nothing for a key with access to everything.
#[component]
fn Scopes(key: KeyView) -> impl IntoView {
    let item = |scope: &Scope| {
        let note = key.no_longer_offered.contains(scope).then(|| format!(" ({})", keys::NO_LONGER_OFFERED));
        view! { <li>{scope.as_str().to_owned()} {note}</li> }
    };
    let scopes = key.access.scopes()?;
    Some(view! {
        <details id=format!("scopes-{}", key.id.as_str()) class="key-scopes">
            <summary>{keys::scopes(scopes.len())}</summary>
            <ul>{scopes.iter().map(item).collect_view()}</ul>
        </details>
    })
}

/// A badge for a key that is expired or expiring soon, or expires later than is allowed; nothing for other keys. The switch
/// says which keys are inactive.
#[component]
fn Badge(key: KeyView) -> impl IntoView {
    let (kind, icon, words) = match key.status {
        Status::Expired => ("danger", "clock", keys::EXPIRED),
        _ if key.is_expiring_soon => ("warning", "clock", keys::EXPIRING_SOON),
        _ if key.is_beyond_limit => ("warning", "alert", keys::BEYOND_LIMIT),
        _ => return None,
    };
    Some(view! {
        <span class="badge" data-kind=kind title=key.is_beyond_limit.then_some(keys::BEYOND_LIMIT_HINT)>
            <Icon name=icon />
            {words}
        </span>
    })
}

/// The on/off switch of a key. Switching on needs no confirmation; switching off opens a dialog to confirm. Its
/// accessible name begins with its visible word (WCAG 2.2, 2.5.3).
#[component]
fn Switch(key: KeyView) -> impl IntoView {
    let is_on = key.status == Status::Active;
    let action = if is_on { page_of(&key.owner) } else { Action::SetActive.path().to_owned() };
    let word = if is_on { keys::ACTIVE } else { keys::INACTIVE };
    let active = if is_on {
        Either::Left(())
    } else {
        Either::Right(view! { <input type="hidden" name="active" value="true" /> })
    };
    view! {
        <form method=if is_on { "get" } else { "post" } action=action>
            <OwnerField owner=key.owner.clone() />
            <input type="hidden" name="key_id" value=key.id.as_str().to_owned() />
            {active}
            <button
                id=format!("switch-{}", key.id.as_str())
                class="switch"
                role="switch"
                aria-checked=if is_on { "true" } else { "false" }
                aria-label=text::switch_label(word, &key.name)
                name=is_on.then_some("dialog")
                value=is_on.then_some("switch-off")
            >
                <span class="switch-track"></span>
                <span class="switch-words">{word}</span>
            </button>
        </form>
    }
}
