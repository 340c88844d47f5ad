//! What the open dialog of Settings → API Keys shows.

use crate::domain::api_key::KeyId;
use crate::domain::key_policy::KeyPolicy;
use crate::domain::mecha::{KeyOwner, Mecha, MechaId};
use crate::domain::runtime::Runtime;
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::KeyUsage;
use crate::routes::{Dialog, MechaDialog};
use crate::text::free_key_name;
use crate::view::key::{KeyListView, KeyView};
use crate::view::submission::FormState;
use std::sync::Arc;

/// The content of the open dialog.
#[derive(Clone, Debug)]
pub enum DialogView {
    /// A form.
    Form(FormView),
    /// A new secret, after a key was created or rotated.
    Reveal(RevealView),
    /// A form for a Mecha.
    Mecha(MechaFormView),
    /// The key of the dialog does not exist, or no longer.
    Gone,
    /// The runtime of the dialog is not connected any more.
    RuntimeGone,
    /// The form that calls this action of a Mecha.
    TryAction(MechaId, String),
    /// No runtime of the Mecha offers the action of the dialog, and none in its history did.
    ActionGone,
}

/// The form of a dialog.
#[derive(Clone, Debug)]
pub struct FormView {
    /// Which dialog.
    pub dialog: Dialog,
    /// The key that the form is for; `None` for a new key.
    pub key: Option<KeyView>,
    /// What owns the key.
    pub owner: KeyOwner,
    /// The suggested name of a new key.
    pub new_name: String,
    /// What the operator allows for keys.
    pub policy: Arc<KeyPolicy>,
    /// The server's clock.
    pub now: Timestamp,
    /// The entered values, after a rejected submission.
    pub state: FormState,
    /// Who used the key, for dialogs that show it.
    pub usage: Option<KeyUsage>,
    /// The connected runtimes that use the key, for dialogs that show its usage.
    pub runtimes: Vec<Runtime>,
}

impl FormView {
    /// The form of a dialog for a key in this list, or for a new key.
    #[must_use]
    pub fn of(list: &KeyListView, dialog: Dialog, key: Option<KeyView>) -> Self {
        let new_name = free_key_name(list.keys.iter().map(|key| key.name.as_str()));
        let (owner, policy, now) = (list.owner.clone(), Arc::clone(&list.policy), list.now);
        let of_key = dialog.parts().1.filter(|_| dialog.shows_usage());
        let using = |id: &KeyId| list.mecha.as_ref().map(|mecha| mecha.using(id));
        let mut runtimes = of_key.and_then(using).unwrap_or_default();
        if matches!(dialog, Dialog::Retire(_)) {
            runtimes.retain(|runtime| runtime.is_previous);
        }
        Self { dialog, key, owner, new_name, policy, now, state: FormState::default(), usage: None, runtimes }
    }
}

/// The form of a dialog for a Mecha.
#[derive(Clone, Debug)]
pub struct MechaFormView {
    /// Which dialog.
    pub dialog: MechaDialog,
    /// The Mecha that the form is for; `None` for a new one.
    pub mecha: Option<Mecha>,
    /// The connected runtimes that the action disconnects.
    pub runtimes: Vec<Runtime>,
    /// The entered values, after a rejected submission.
    pub state: FormState,
}

/// A new secret.
#[derive(Clone)]
pub struct RevealView {
    /// The key of the secret.
    pub key: KeyView,
    /// The plaintext secret.
    pub secret: String,
    /// When the secret was generated.
    pub since: Timestamp,
    /// Whether the key existed before, with another secret.
    pub is_rotation: bool,
    /// The origin of this console, for the examples: `https://keys.example.com`.
    pub origin: String,
}

impl std::fmt::Debug for RevealView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RevealView").field("key", &self.key.id).finish_non_exhaustive()
    }
}
