//! What the pages with keys show: Settings → API Keys, and the page of a Mecha.

use super::layout::{parameter, parameters, set_status, submission};
use crate::backend::{self, SignedIn};
use crate::domain::access::Access;
use crate::domain::api_key::{KeyId, KeyList};
use crate::domain::field_error::Field;
use crate::domain::mecha::{KeyOwner, Mecha};
use crate::domain::runtime::{MechaRuntimes, RuntimeId};
use crate::error::ConsoleError;
use crate::routes::{Dialog, MechaDialog, TRY_DIALOG};
use crate::view::dialog::{DialogView, FormView, MechaFormView, RevealView};
use crate::view::key::KeyListView;
use crate::view::mecha::MechaView;
use crate::view::submission::{FormState, FormValues, Submission};

/// What a page with keys shows.
pub(super) struct KeyContent {
    pub(super) list: KeyListView,
    pub(super) dialog: Option<DialogView>,
    /// Why an action outside a dialog failed; may be empty.
    pub(super) failure: String,
}

/// The keys of an account, or of a Mecha. The URL or a submitted form determines the dialog that is open.
///
/// `mecha` may be missing only for the response with a new secret, which must not depend on another read.
pub(super) async fn load(
    who: &SignedIn,
    owner: &KeyOwner,
    mecha: Option<Mecha>,
) -> Result<KeyContent, ConsoleError> {
    let state = match submission() {
        Some(Submission { outcome: Ok(list), .. }) => return reveal(who, &list, mecha).await,
        Some(Submission { outcome: Err(refusal), typed }) => FormState { typed, refusal },
        None if parameter("dialog") == Dialog::Generate.parts().0 => {
            FormState { typed: prefilled(), ..FormState::default() }
        }
        None => FormState::default(),
    };
    if state.refusal.status > 0 {
        set_status(state.refusal.status);
    }
    let mecha = match mecha {
        None => None,
        Some(mecha) => {
            let runtimes = backend::mechas()?.runtimes(&who.account, &mecha.id).await?;
            Some(MechaView::of(mecha, runtimes, origin()?))
        }
    };
    let keys = backend::keys()?.list(&who.account, owner).await?;
    let usage = backend::keys()?.daily_usage(&who.account, &keys).await?;
    let list = KeyListView::of(&keys, mecha.clone(), backend::keys()?.policy(), &usage);
    let name = parameter("dialog");
    if name == TRY_DIALOG
        && let Some(mecha) = &mecha
    {
        let dialog = Some(try_action(mecha, parameter("trigger")));
        return Ok(KeyContent { list, dialog, failure: String::new() });
    }
    let of_mecha =
        mecha.filter(|_| MechaDialog::parse(&name).is_some_and(|dialog| dialog != MechaDialog::New));
    let detail = state.refusal.detail.clone();
    let dialog = match (Dialog::parse(&name, KeyId::parse(&parameter("key_id"))), MechaDialog::parse(&name)) {
        (Some(dialog), _) => Some(form(who, &list, dialog, state).await?),
        (None, Some(dialog)) => of_mecha.map(|mecha| mecha_form(dialog, mecha, state)),
        (None, None) => None,
    };
    let failure = if dialog.is_none() { detail } else { String::new() };
    Ok(KeyContent { list, dialog, failure })
}

/// The values of the form for a new key in the URL of the page, so that other sites can link to it. They are never
/// submitted automatically. Scopes restrict the key, even if none of them is offered.
fn prefilled() -> FormValues {
    let fields = [Field::Name, Field::Description, Field::ExpireIn, Field::ExpiresOn].map(Field::name);
    let values = fields.map(|name| (name.to_owned(), parameter(name)));
    let mut values: Vec<_> = values.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    let scopes = parameters(Field::Scopes.name());
    if !scopes.is_empty() {
        values.push((Field::Access.name().to_owned(), Access::CHOSEN.to_owned()));
        let scopes = scopes.iter().flat_map(|scopes| scopes.split([' ', ',']));
        values.extend(scopes.map(|scope| (Field::Scopes.name().to_owned(), scope.to_owned())));
    }
    FormValues(values)
}

/// The page that shows the new secret of a list, once. No error of the database may lose it.
async fn reveal(who: &SignedIn, list: &KeyList, mecha: Option<Mecha>) -> Result<KeyContent, ConsoleError> {
    let usage = backend::keys()?.daily_usage(&who.account, list).await.unwrap_or_default();
    let new = list.new.as_ref().ok_or(ConsoleError::Internal)?;
    let key = list.find(&new.id).ok_or(ConsoleError::Internal)?;
    let origin = origin()?;
    let mecha = mecha.map(|mecha| MechaView::of(mecha, MechaRuntimes::default(), origin.clone()));
    let view = KeyListView::of(list, mecha, backend::keys()?.policy(), &usage);
    let reveal = RevealView {
        key: view.find(&new.id).cloned().ok_or(ConsoleError::Internal)?,
        secret: new.secret.clone(),
        since: list.now,
        is_rotation: key.previous.is_some(),
        origin,
    };
    Ok(KeyContent { list: view, dialog: Some(DialogView::Reveal(reveal)), failure: String::new() })
}

/// The origin at which this client reaches the console.
fn origin() -> Result<String, ConsoleError> {
    Ok(backend::accounts()?.origin(&backend::request()?))
}

fn try_action(mecha: &MechaView, action: String) -> DialogView {
    let is_known = [mecha.runtimes.actions(), mecha.runtimes.past_actions()].concat().contains(&action);
    if is_known { DialogView::TryAction(mecha.mecha.id.clone(), action) } else { DialogView::ActionGone }
}

fn mecha_form(dialog: MechaDialog, mecha: MechaView, state: FormState) -> DialogView {
    let runtimes = match dialog {
        MechaDialog::New | MechaDialog::Describe => Vec::new(),
        MechaDialog::SwitchOff | MechaDialog::Delete => mecha.runtimes.connected,
        MechaDialog::Disconnect => {
            let id = RuntimeId::parse(&parameter("runtime_id"));
            match id.and_then(|id| mecha.find(&id).cloned()) {
                Some(runtime) => vec![runtime],
                None => return DialogView::RuntimeGone,
            }
        }
    };
    DialogView::Mecha(MechaFormView { dialog, mecha: Some(mecha.mecha), runtimes, state })
}

async fn form(
    who: &SignedIn,
    list: &KeyListView,
    dialog: Dialog,
    state: FormState,
) -> Result<DialogView, ConsoleError> {
    let Some(id) = dialog.parts().1.cloned() else {
        return Ok(DialogView::Form(FormView { state, ..FormView::of(list, dialog, None) }));
    };
    let Some(key) = list.find(&id).cloned() else { return Ok(DialogView::Gone) };
    let usage =
        if dialog.shows_usage() { Some(backend::keys()?.usage(&who.account, &id).await?) } else { None };
    Ok(DialogView::Form(FormView { state, usage, ..FormView::of(list, dialog, Some(key)) }))
}
