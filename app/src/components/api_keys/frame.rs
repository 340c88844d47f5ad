//! The parts that dialogs share.

use crate::components::copyable::Announcer;
use crate::components::icon::Icon;
use crate::components::moment::{Date, DateAndTime};
use crate::domain::api_key::PreviousSecret;
use crate::domain::mecha::KeyOwner;
use crate::text::{self, keys};
use crate::view::key::KeyView;
use leptos::either::Either;
use leptos::prelude::*;

/// The id of the form that closes the dialog without a script, by loading the page itself.
const WAY_OUT: &str = "way-out";

/// The parts that every dialog has.
#[component]
pub(crate) fn Frame(
    title: &'static str,
    /// The path of the page, which closing leads to.
    #[prop(into)]
    page: String,
    /// Whether the content has a button *Close*. The one in the corner is then for the mouse only, because keyboards and
    /// screen readers need no second one.
    #[prop(optional)]
    has_close: bool,
    children: Children,
) -> impl IntoView {
    view! {
        <header class="dialog-head">
            <h2 id="dialog-title" tabindex="-1">
                {title}
            </h2>
            <button
                class="icon-button"
                form=WAY_OUT
                aria-label=text::CLOSE
                aria-hidden=has_close.then_some("true")
                tabindex=has_close.then_some("-1")
            >
                <Icon name="close" />
            </button>
        </header>
        {children()}
        <form id=WAY_OUT action=page></form>
        <Announcer />
    }
}

/// A button that closes its dialog.
#[component]
pub(crate) fn CloseButton(label: &'static str) -> impl IntoView {
    view! {
        <button class="button quiet" form=WAY_OUT>
            {label}
        </button>
    }
}

/// The Mecha that owns the key of a form; nothing for keys of the account.
#[component]
pub(crate) fn OwnerField(owner: KeyOwner) -> impl IntoView {
    let mecha = owner.mecha().map(|mecha| mecha.as_str().to_owned());
    mecha.map(|id| view! { <input type="hidden" name="mecha_id" value=id /> })
}

/// A warning: requests are denied from then on, or data is deleted.
#[component]
pub(crate) fn Warning(title: &'static str, #[prop(into)] text: String) -> impl IntoView {
    view! {
        <div class="notice danger">
            <Icon name="alert" />
            <div>
                <p>
                    <strong>{title}</strong>
                </p>
                {(!text.is_empty()).then(|| view! { <p>{text}</p> })}
            </div>
        </div>
    }
}

/// The name of the key that a dialog is for, and its expiry.
#[component]
pub(super) fn Summary(key: KeyView) -> impl IntoView {
    view! {
        <p class="summary">
            <strong dir="auto">{key.name}</strong>
            <span>
                {match key.expires_at {
                    None => Either::Left(keys::NO_EXPIRY),
                    Some(at) => Either::Right(view! { {keys::EXPIRES_ON} " " <Date at /> }),
                }}
            </span>
        </p>
    }
}

/// The buttons of a form, and why its submission failed.
#[component]
pub(crate) fn FormButtons(detail: String, submit: &'static str, is_dangerous: bool) -> impl IntoView {
    view! {
        <div class="dialog-act">
            <FormError detail />
            <CloseButton label=text::CANCEL />
            <button class="button primary" data-danger=is_dangerous>
                {submit}
            </button>
        </div>
    }
}

/// Why the submission failed, at the button. The browser also writes here that the console cannot be reached.
#[component]
fn FormError(detail: String) -> impl IntoView {
    view! {
        <p class="error" role="alert" data-form-error="">
            {(!detail.is_empty()).then_some(detail)}
        </p>
    }
}

/// The note that the previous secret still works, and until when.
#[component]
pub(super) fn PreviousNote(previous: PreviousSecret) -> impl IntoView {
    view! {
        <p>
            {text::previous_works_until(&previous.last_four)} " " <DateAndTime at=previous.until />
            {previous.ends_on_use.then_some(keys::UNTIL_USED)}
        </p>
    }
}
