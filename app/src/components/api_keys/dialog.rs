//! The dialog of the page, and its forms.

use super::fields::{access, confirm_name, description, expiry, grace, name};
use super::frame::{CloseButton, FormButtons, Frame, OwnerField, Summary, Warning};
use super::reveal::Reveal;
use super::usage::Usage;
use crate::components::mechas::actions::try_dialog;
use crate::components::mechas::dialog::mecha_dialog;
use crate::components::mechas::runtimes::AffectedRuntimes;
use crate::domain::access::Access;
use crate::domain::mecha::KeyOwner;
use crate::routes::{Action, Dialog as DialogName, page_of};
use crate::text::{self, keys, mechas, runtimes as texts};
use crate::view::dialog::{DialogView, FormView};
use crate::view::key::{KeyListView, KeyView};
use leptos::prelude::*;

/// A native modal dialog. It is always in the document, and empty while it is closed.
///
/// The server renders it open, so that it works without a script. In that case, the `inert` attribute disables the page
/// behind it, and its close buttons submit a form that loads the page itself.
#[component]
pub(crate) fn Dialog(
    /// The path of the page.
    page: String,
    dialog: Option<DialogView>,
) -> impl IntoView {
    let is_open = dialog.is_some();
    let content = dialog.map(|dialog| match dialog {
        DialogView::Form(form) => form_dialog(&form),
        DialogView::Mecha(form) => mecha_dialog(&form),
        DialogView::Reveal(reveal) => {
            let title = if reveal.is_rotation { keys::ROTATED_TITLE } else { keys::GENERATED_TITLE };
            view! {
                <Frame title page has_close=true>
                    <Reveal reveal />
                </Frame>
            }
            .into_any()
        }
        DialogView::Gone => message(page, keys::GONE_TITLE, keys::GONE),
        DialogView::TryAction(mecha, action) => try_dialog(&mecha, action),
        DialogView::ActionGone => message(page, texts::ACTION_GONE_TITLE, texts::ACTION_GONE),
        DialogView::RuntimeGone => message(page, mechas::RUNTIME_GONE_TITLE, mechas::RUNTIME_GONE),
    });
    view! {
        <dialog id="dialog" class="dialog" aria-labelledby="dialog-title" closedby="none" open=is_open>
            {content}
        </dialog>
    }
}

fn message(page: String, title: &'static str, text: &'static str) -> AnyView {
    view! {
        <Frame title page has_close=true>
            <p class="lead">{text}</p>
            <div class="dialog-act">
                <CloseButton label=text::CLOSE />
            </div>
        </Frame>
    }
    .into_any()
}

/// What distinguishes the form of an action from others.
struct Parts {
    title: &'static str,
    action: Action,
    submit: &'static str,
    /// Title and text of a warning: requests are denied from then on, or data is deleted.
    warning: Option<(&'static str, &'static str)>,
    lead: &'static str,
}

fn parts(dialog: &DialogName, owner: &KeyOwner) -> Parts {
    let plain = |title, action, submit, lead| Parts { title, action, submit, lead, warning: None };
    let dangerous =
        |title, action, submit, warning| Parts { title, action, submit, warning: Some(warning), lead: "" };
    match dialog {
        DialogName::Generate if owner.mecha().is_some() => {
            plain(mechas::ISSUE, Action::Create, mechas::ISSUE, "")
        }
        DialogName::Generate => plain(keys::NEW_TITLE, Action::Create, keys::GENERATE, ""),
        DialogName::Rename(_) => plain(keys::RENAME_TITLE, Action::Rename, keys::RENAME, ""),
        DialogName::Edit(_) => plain(keys::EDIT_TITLE, Action::Edit, keys::SAVE, keys::EDIT_LEAD),
        DialogName::Refresh(_) => {
            plain(keys::REFRESH_TITLE, Action::Refresh, keys::REFRESH, keys::REFRESH_LEAD)
        }
        DialogName::Rotate(_) => plain(keys::ROTATE_TITLE, Action::Rotate, keys::ROTATE, keys::ROTATE_LEAD),
        DialogName::SwitchOff(_) => dangerous(
            keys::SWITCH_OFF_TITLE,
            Action::SetActive,
            keys::SWITCH_OFF,
            (keys::SWITCH_OFF_LEAD, ""),
        ),
        DialogName::Retire(_) => dangerous(
            keys::RETIRE_TITLE,
            Action::Retire,
            keys::RETIRE,
            (keys::RETIRE_LEAD, keys::RETIRE_STAYS),
        ),
        DialogName::Delete(_) => dangerous(
            keys::DELETE_TITLE,
            Action::Delete,
            keys::DELETE_CONFIRM,
            (keys::CANNOT_BE_UNDONE, keys::DELETE_LEAD),
        ),
        // It has no submit button.
        DialogName::Usage(_) => plain(keys::USAGE, Action::Rename, "", ""),
    }
}

fn form_dialog(form: &FormView) -> AnyView {
    if let (DialogName::Usage(_), Some(key)) = (&form.dialog, &form.key) {
        return usage_dialog(key.clone(), form);
    }
    let FormView { state, owner, policy, now, runtimes, .. } = form.clone();
    // After a rotation, runtimes with the previous secret stay connected for the grace period.
    let is_rotation = matches!(form.dialog, DialogName::Rotate(_));
    let runtimes_title = if is_rotation { texts::USING } else { texts::WILL_DISCONNECT };
    let (state, owner) = (&state, &owner);
    let Parts { title, action, submit, warning, lead } = parts(&form.dialog, owner);
    let fields = match (&form.dialog, &form.key) {
        (DialogName::Generate, _) => view! {
            {name(state, &form.new_name)}
            {expiry(state, &policy, None, now)}
            {description(state, "")}
            {access(state, &policy, &Access::Everything)}
        }
        .into_any(),
        (DialogName::Rename(_), Some(key)) => name(state, &key.name).into_any(),
        (DialogName::Edit(_), Some(key)) => view! {
            {name(state, &key.name)}
            {description(state, &key.description)}
            {access(state, &policy, &key.access)}
            <input type="hidden" name="shown_access" value=key.access.shown() />
        }
        .into_any(),
        (DialogName::Refresh(_), Some(key)) => expiry(state, &policy, key.expires_at, now).into_any(),
        (DialogName::Rotate(_), _) => grace(state, owner).into_any(),
        (DialogName::SwitchOff(_), _) => {
            view! { <input type="hidden" name="active" value="false" /> }.into_any()
        }
        (DialogName::Delete(_), _) => confirm_name(keys::REENTER, state).into_any(),
        _ => ().into_any(),
    };
    let about = form.key.clone().map(|key| {
        let id = key.id.as_str().to_owned();
        view! {
            <Summary key />
            <input type="hidden" name="key_id" value=id />
        }
    });
    let usage = form.usage.clone().map(|usage| view! { <Usage usage now key=None /> });
    // The browser enables the button once this name is re-entered.
    let reenter = form.key.as_ref().filter(|_| matches!(form.dialog, DialogName::Delete(_)));
    let reenter = reenter.map(|key| key.name.clone());
    let (page, of_owner) = (page_of(owner), owner.clone());
    let is_dangerous = warning.is_some();
    let detail = state.refusal.detail.clone();
    view! {
        <Frame title page>
            <form method="post" action=action.path() novalidate data-reenter=reenter>
                {warning.map(|(title, text)| view! { <Warning title text /> })}
                <OwnerField owner=of_owner />
                {about}
                {(!lead.is_empty()).then(|| view! { <p class="lead">{lead}</p> })}
                {usage}
                <AffectedRuntimes title=runtimes_title runtimes />
                {fields}
                <FormButtons detail submit is_dangerous />
            </form>
        </Frame>
    }
    .into_any()
}

fn usage_dialog(key: KeyView, form: &FormView) -> AnyView {
    let now = form.now;
    let usage = form.usage.clone().unwrap_or_default();
    view! {
        <Frame title=keys::USAGE page=page_of(&form.owner) has_close=true>
            <Summary key=key.clone() />
            {(!key.description.is_empty())
                .then(|| view! { <p class="key-description" dir="auto">{key.description.clone()}</p> })}
            <Usage usage now key=Some(key.clone()) />
            <div class="dialog-act">
                <CloseButton label=text::CLOSE />
            </div>
        </Frame>
    }
    .into_any()
}

/// The dialog for a new key, which the browser opens without a request.
#[component]
pub(super) fn NewKeyTemplate(list: KeyListView) -> impl IntoView {
    let form = FormView::of(&list, DialogName::Generate, None);
    let url = form.dialog.href(&list.page());
    view! {
        <template id="new-key" data-url=url>
            {form_dialog(&form)}
        </template>
    }
}

/// What the browser shows while a dialog is loading, and if that fails. The loading dialog has about the height of most
/// dialogs, so that its buttons hardly move.
#[component]
pub(crate) fn Templates(
    /// The path of the page.
    page: String,
) -> impl IntoView {
    view! {
        <template id="loading">
            <Frame title=keys::LOADING page=page.clone()>
                <div class="skeleton" aria-hidden="true"></div>
                <div class="dialog-act">
                    <CloseButton label=text::CANCEL />
                </div>
            </Frame>
        </template>
        <template id="not-loaded">
            <Frame title=keys::NOT_LOADED_TITLE page has_close=true>
                <div class="skeleton failed">
                    <p class="error" role="alert" data-form-error=""></p>
                </div>
                <div class="dialog-act">
                    <CloseButton label=text::CLOSE />
                    <button type="button" class="button primary" data-do="retry">
                        {keys::TRY_AGAIN}
                    </button>
                </div>
            </Frame>
        </template>
    }
}
