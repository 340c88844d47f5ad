//! The forms of the dialogs, described by data.

use crate::domain::api_key::{ApiKey, KeyList};
use crate::domain::expiry::Period;
use crate::domain::field_error::Field;
use crate::domain::rotation::Grace;
use crate::domain::timestamp::Timestamp;
use crate::routes::{Dialog, Done, HOME, USAGE};
use crate::server_fns::keys::{
    CreateKey, DeleteKey, RefreshKey, RenameKey, RetireKey, RotateKey, SetKeyActive,
};
use crate::text::free_key_name;
use crate::text::keys;
use crate::view::submission::FormValues;
use leptos::server_fn::ServerFn;

/// The form of a dialog.
#[derive(Clone)]
pub(super) struct Form {
    pub(super) title: &'static str,
    /// Title and text of the warning, for forms that deny requests from then on or delete data.
    pub(super) warning: Option<(&'static str, &'static str)>,
    /// The key that the form is for.
    pub(super) key: Option<ApiKey>,
    /// Introduction above the fields; may be empty.
    pub(super) lead: &'static str,
    pub(super) fields: &'static [Field],
    /// Initial values of the fields.
    pub(super) initial: FormValues,
    /// URL of the fragment with the usage of the key; empty if the dialog does not show it.
    pub(super) traffic: String,
    /// The `action` of the form: the path of a server function.
    pub(super) action: &'static str,
    /// Label of the submit button; empty if there is nothing to submit.
    pub(super) submit: &'static str,
    /// The success message.
    pub(super) done: Done,
}

impl Form {
    /// The form of a dialog with the entered values; `None` if its key is not in the list.
    pub(super) fn of(dialog: &Dialog, list: &KeyList, typed: FormValues) -> Option<Self> {
        let key = match dialog.parts().1 {
            Some(id) => Some(list.find(id)?.clone()),
            None => None,
        };
        let mut form = Self {
            title: keys::NEW_TITLE,
            warning: None,
            key,
            lead: "",
            fields: &[],
            initial: typed,
            traffic: String::new(),
            action: CreateKey::PATH,
            submit: keys::GENERATE,
            done: Done::Generated,
        };
        match dialog {
            Dialog::Generate => form.generate(list),
            Dialog::Rename(_) => form.rename(),
            Dialog::Refresh(_) => form.refresh(list.now),
            Dialog::SwitchOff(_) => form.switch_off(),
            Dialog::Rotate(_) => form.rotate(),
            Dialog::Retire(_) => form.retire(),
            Dialog::Usage(_) => form.traffic(),
            Dialog::Delete(_) => form.delete(),
        }
        if !matches!(dialog, Dialog::Generate | Dialog::Rename(_) | Dialog::Refresh(_)) {
            form.traffic = dialog.href().replacen(HOME, USAGE, 1);
        }
        Some(form)
    }

    fn generate(&mut self, list: &KeyList) {
        self.fields = &[Field::Name, Field::ExpireIn, Field::Description];
        self.initial.or(FormValues::of(&[
            (Field::Name, &free_key_name(list)),
            (Field::ExpireIn, Period::default().value()),
        ]));
    }

    fn rename(&mut self) {
        self.title = keys::RENAME_TITLE;
        self.fields = &[Field::Name];
        self.initial.or(FormValues::of(&[(Field::Name, self.key.as_ref().map_or("", |key| &key.name))]));
        self.action = RenameKey::PATH;
        self.submit = keys::RENAME;
        self.done = Done::Renamed;
    }

    fn refresh(&mut self, now: Timestamp) {
        let period = self.later_than().map_or_else(Period::default, |at| Period::for_refresh(at, now));
        self.title = keys::REFRESH_TITLE;
        self.lead = keys::REFRESH_LEAD;
        self.fields = &[Field::ExpireIn];
        self.initial.or(FormValues::of(&[(Field::ExpireIn, period.value())]));
        self.action = RefreshKey::PATH;
        self.submit = keys::REFRESH;
        self.done = Done::Refreshed;
    }

    fn switch_off(&mut self) {
        self.title = keys::SWITCH_OFF_TITLE;
        self.warning = Some((keys::SWITCH_OFF_LEAD, keys::SWITCH_OFF_UNTIL));
        self.action = SetKeyActive::PATH;
        self.submit = keys::SWITCH_OFF;
        self.done = Done::SwitchedOff;
    }

    fn rotate(&mut self) {
        self.title = keys::ROTATE_TITLE;
        self.lead = keys::ROTATE_LEAD;
        self.fields = &[Field::Grace];
        self.initial.or(FormValues::of(&[(Field::Grace, Grace::default().value())]));
        self.action = RotateKey::PATH;
        self.submit = keys::ROTATE;
        self.done = Done::Rotated;
    }

    fn retire(&mut self) {
        self.title = keys::RETIRE_TITLE;
        self.warning = Some((keys::RETIRE_LEAD, keys::RETIRE_STAYS));
        self.action = RetireKey::PATH;
        self.submit = keys::RETIRE;
        self.done = Done::Retired;
    }

    /// The usage dialog. It submits nothing.
    fn traffic(&mut self) {
        self.title = keys::USAGE_TITLE;
        self.submit = "";
    }

    fn delete(&mut self) {
        self.title = keys::DELETE_TITLE;
        self.warning = Some((keys::CANNOT_BE_UNDONE, keys::DELETE_LEAD));
        self.fields = &[Field::ConfirmName];
        self.action = DeleteKey::PATH;
        self.submit = keys::DELETE_CONFIRM;
        self.done = Done::Deleted;
    }

    /// The current expiry, which a new period must exceed.
    pub(super) fn later_than(&self) -> Option<Timestamp> {
        self.key.as_ref().and_then(|key| key.expires_at)
    }

    /// The name that must be re-entered before the form can be submitted.
    pub(super) fn name_to_reenter(&self) -> Option<&str> {
        let key = self.key.as_ref().filter(|_| self.fields.contains(&Field::ConfirmName));
        key.map(|key| key.name.as_str())
    }
}
