//! The dialogs of Mechas.

use crate::components::api_keys::fields::{confirm_name, description, mecha_name};
use crate::components::api_keys::frame::{FormButtons, Frame, OwnerField, Warning};
use crate::components::mechas::runtimes::AffectedRuntimes;
use crate::domain::key_policy::KEYS_PER_MECHA;
use crate::domain::mecha::KeyOwner;
use crate::routes::{Action, Dialog, MECHAS, MechaDialog, mecha_page};
use crate::text::{self, keys, mechas, runtimes as texts};
use crate::view::dialog::MechaFormView;
use leptos::prelude::*;

/// The form of a dialog for a Mecha.
pub(crate) fn mecha_dialog(form: &MechaFormView) -> AnyView {
    let MechaFormView { dialog, mecha, state, runtimes } = form;
    let page = mecha.as_ref().map_or_else(|| MECHAS.to_owned(), |mecha| mecha_page(&mecha.id));
    let owner: KeyOwner = mecha.as_ref().map(|mecha| mecha.id.clone()).into();
    let (name, about, count) = mecha
        .as_ref()
        .map(|mecha| (mecha.name.clone(), mecha.description.clone(), mecha.keys))
        .unwrap_or_default();
    let (title, action, submit) = match dialog {
        MechaDialog::New => (mechas::NEW, Action::CreateMecha, mechas::CREATE),
        MechaDialog::Describe => (mechas::DESCRIBE_TITLE, Action::DescribeMecha, mechas::SAVE),
        MechaDialog::SwitchOff => (mechas::SWITCH_OFF_TITLE, Action::SetMechaActive, mechas::SWITCH_OFF),
        MechaDialog::Delete => (mechas::DELETE_TITLE, Action::DeleteMecha, mechas::DELETE_CONFIRM),
        MechaDialog::Disconnect => (texts::DISCONNECT_TITLE, Action::DisconnectRuntime, texts::DISCONNECT),
    };
    let is_dangerous = !matches!(dialog, MechaDialog::New | MechaDialog::Describe);
    let summary = view! {
        <p class="summary">
            <strong dir="auto">{name.clone()}</strong>
            <span>{text::meter(count, KEYS_PER_MECHA)}</span>
        </p>
    };
    let content = match dialog {
        MechaDialog::New | MechaDialog::Describe => view! {
            {mecha_name(state, &name)}
            {description(state, &about)}
        }
        .into_any(),
        MechaDialog::SwitchOff => view! {
            <Warning title=mechas::SWITCH_OFF_LEAD text="" />
            {summary}
            <input type="hidden" name="active" value="false" />
        }
        .into_any(),
        MechaDialog::Delete => view! {
            <Warning title=keys::CANNOT_BE_UNDONE text=mechas::delete_lead(count) />
            {summary}
            {confirm_name(mechas::REENTER, state)}
        }
        .into_any(),
        MechaDialog::Disconnect => {
            let runtime = runtimes.first();
            let id = runtime.map(|runtime| runtime.id.as_str().to_owned());
            let switch_off = runtime.map(|runtime| Dialog::SwitchOff(runtime.key.clone()).href(&page));
            view! {
                <Warning title=texts::DISCONNECT_LEAD text="" />
                <input type="hidden" name="runtime_id" value=id />
                <p>
                    <a href=switch_off>{texts::SWITCH_KEY_OFF}</a>
                </p>
            }
            .into_any()
        }
    };
    let affected = runtimes.clone();
    let reenter = matches!(dialog, MechaDialog::Delete).then_some(name);
    let detail = state.refusal.detail.clone();
    view! {
        <Frame title page>
            <form method="post" action=action.path() novalidate data-reenter=reenter>
                <OwnerField owner />
                {content}
                <AffectedRuntimes title=texts::WILL_DISCONNECT runtimes=affected />
                <FormButtons detail submit is_dangerous />
            </form>
        </Frame>
    }
    .into_any()
}
