//! The state of the island and its event handlers.

use super::fields::check;
use super::form::Form;
use super::wire;
use crate::components::browser;
use crate::components::toast::Toaster;
use crate::domain::api_key::{ApiKey, KeyId, KeyList};
use crate::domain::field_error::Field;
use crate::domain::timestamp::Timestamp;
use crate::routes::{Dialog, Done, EVENTS};
use crate::text;
use crate::view::refusal::Refusal;
use crate::view::submission::{FormValues, Page};
use leptos::ev::{MouseEvent, SubmitEvent};
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlDialogElement, HtmlElement, HtmlFormElement, HtmlInputElement};

/// The state of the page. Copies share the same signals.
#[derive(Clone, Copy)]
pub(super) struct State {
    /// The account's keys.
    pub(super) list: RwSignal<KeyList>,
    /// The open dialog.
    pub(super) open: RwSignal<Option<Open>>,
    /// The state of the open dialog.
    pub(super) entry: RwSignal<Entry>,
    /// The toast of the page.
    pub(super) toaster: Toaster,
    /// The origin of this console.
    pub(super) origin: StoredValue<String>,
    /// Id of the element that had the focus when the dialog was opened.
    opener: StoredValue<String>,
    /// Whether a request is in flight, even if its dialog was closed in the meantime. Only one request runs at a time,
    /// because the page can show only one new secret.
    is_in_flight: StoredValue<bool>,
}

/// The content of the open dialog.
#[derive(Clone)]
pub(super) enum Open {
    /// A form.
    Form(Form),
    /// A new secret, after a key was created or rotated.
    Reveal {
        /// The key of the secret.
        key: ApiKey,
        /// The plaintext secret.
        secret: String,
        /// When the secret was generated.
        since: Timestamp,
    },
}

/// The state of the open dialog.
#[derive(Clone, Default)]
pub(super) struct Entry {
    /// The current values of the fields.
    pub(super) typed: FormValues,
    /// Why the last submission was rejected.
    pub(super) refusal: Refusal,
    /// Whether a response is pending.
    pub(super) is_waiting: bool,
    /// Whether the dialog is hydrated.
    pub(super) is_live: bool,
    /// Message about the first request with the new secret; empty until there is one.
    pub(super) first_request: String,
    /// Whether the dialog asks to confirm closing because the secret was not copied.
    pub(super) is_asking: bool,
}

impl State {
    pub(super) fn new(page: Page) -> Self {
        let Page { mut list, origin, dialog, key_id, typed, refusal, done } = page;
        let toaster = Toaster::new();
        toaster.succeed(done);
        if !refusal.detail.is_empty() {
            toaster.fail(refusal.detail.clone());
        }
        let reveal = reveal(&mut list);
        let form =
            Dialog::parse(&dialog, KeyId::parse(&key_id)).and_then(|dialog| Form::of(&dialog, &list, typed));
        let typed = form.as_ref().map(|form| form.initial.clone()).unwrap_or_default();
        Self {
            list: RwSignal::new(list),
            open: RwSignal::new(reveal.or(form.map(Open::Form))),
            entry: RwSignal::new(Entry { typed, refusal, ..Entry::default() }),
            toaster,
            origin: StoredValue::new(origin),
            opener: StoredValue::new(String::new()),
            is_in_flight: StoredValue::new(false),
        }
    }

    /// Opens the dialog of the clicked button in the list, instead of submitting its form.
    pub(super) fn follow(self, event: &MouseEvent) {
        let target: Option<Element> = event.target().map(JsCast::unchecked_into);
        let Some(button) = target.and_then(|target| target.closest("[name=dialog]").ok().flatten()) else {
            return;
        };
        let button: HtmlInputElement = button.unchecked_into();
        let key = button
            .closest("form")
            .ok()
            .flatten()
            .and_then(|form| form.query_selector("[name=key_id]").ok()?);
        let key = key.and_then(|key| KeyId::parse(&key.unchecked_into::<HtmlInputElement>().value()));
        let Some(dialog) = Dialog::parse(&button.value(), key) else { return };
        event.prevent_default();
        // The menu closes first and restores the focus to its button, which then becomes the opener of the dialog.
        if let Ok(Some(menu)) = button.closest("[popover]") {
            let _ = menu.unchecked_into::<HtmlElement>().hide_popover();
        }
        self.show(&dialog);
    }

    /// Opens a dialog.
    pub(super) fn show(self, dialog: &Dialog) {
        let form = self.list.with_untracked(|list| Form::of(dialog, list, FormValues::default()));
        let typed = form.as_ref().map(|form| form.initial.clone()).unwrap_or_default();
        self.opener.set_value(document().active_element().map(|element| element.id()).unwrap_or_default());
        self.toaster.clear();
        self.entry.set(Entry { typed, is_live: true, ..Entry::default() });
        self.open.set(form.map(Open::Form));
    }

    /// The URL of the event stream. While a new secret is shown, its query names the key and the time of generation, so
    /// that the server also reports requests from before the connection.
    pub(super) fn events(self) -> String {
        self.open.with_untracked(|open| match open {
            Some(Open::Reveal { key, since, .. }) => {
                format!("{EVENTS}?key={}&since={}", key.id.as_str(), since.0)
            }
            _ => EVENTS.to_owned(),
        })
    }

    /// Handles the data of a server-sent event.
    pub(super) fn hear(self, event: &str) {
        let Some(event) = wire::event(event) else { return };
        let is_on_show = self.open.with_untracked(
            |open| matches!(open, Some(Open::Reveal { key, .. }) if key.id.as_str() == event.key_id),
        );
        if is_on_show && !event.first_request.is_empty() {
            self.entry.update(|entry| entry.first_request = event.first_request);
        }
        // Does not replace the list while the user is interacting with it. Ignores events that are older than the
        // response of an action.
        let is_newer = self.list.with_untracked(|list| event.list.now >= list.now);
        if is_newer && !browser::is_in_use(".keys") {
            self.list.set(event.list);
        }
    }

    /// Closes the dialog. If it shows a secret that was not copied, asks once for confirmation.
    pub(super) fn close(self, event: &web_sys::Event) {
        event.prevent_default();
        let Some(dialog) = browser::closest::<HtmlDialogElement>(event, "dialog") else { return };
        if self.has_secret()
            && !browser::has_copied_secret(&dialog)
            && !self.entry.with_untracked(|entry| entry.is_asking)
        {
            self.entry.update(|entry| entry.is_asking = true);
        } else {
            self.leave(&dialog);
        }
    }

    /// Closes the dialog and removes it from the document at once, without waiting for the `close` event, so that the
    /// secret disappears together with the dialog.
    fn leave(self, dialog: &HtmlDialogElement) {
        // The browser restores the previous focus.
        dialog.close();
        self.on_closed();
    }

    fn has_secret(self) -> bool {
        self.open.with_untracked(|open| matches!(open, Some(Open::Reveal { .. })))
    }

    /// Resets the state after the dialog was closed. This also removes a secret from memory.
    pub(super) fn on_closed(self) {
        self.open.set(None);
        self.entry.set(Entry::default());
        self.keep_focus();
    }

    /// Restores the focus in the next frame: the action may have removed or re-rendered the focused element.
    fn keep_focus(self) {
        let opener = self.opener.get_value();
        request_animation_frame(move || browser::keep_focus(&opener));
    }

    /// Removes a displayed secret from memory and from the document.
    pub(super) fn forget_secret(self) {
        if self.has_secret() {
            self.on_closed();
        }
    }

    /// Stores the edited value of a field. If the field has an error, updates it to match the value, or removes it once
    /// the value is valid.
    pub(super) fn mend(self, field: Field, value: String) {
        self.entry.update(|entry| {
            entry.refusal.mend(field, check(field, &value));
            entry.typed.set(field, value);
        });
    }

    /// Submits a form to its server function and applies the returned state. Does nothing while a request is in flight.
    pub(super) fn submit(self, event: &SubmitEvent, done: Done) {
        event.prevent_default();
        let Some(form) = event.target().map(JsCast::unchecked_into::<HtmlFormElement>) else { return };
        if self.is_in_flight.get_value() {
            return;
        }
        self.is_in_flight.set_value(true);
        self.entry.update(|entry| entry.is_waiting = true);
        spawn_local(async move {
            let answer = browser::post(&form).await;
            self.is_in_flight.set_value(false);
            self.entry.update(|entry| entry.is_waiting = false);
            let answer = answer.map_err(|_| Refusal::unreachable());
            match answer.and_then(|(is_ok, json)| wire::answer(is_ok, &json)) {
                Ok(list) => self.accept(list, done, &form),
                Err(refusal) => self.refuse(refusal, form),
            }
        });
    }

    fn accept(self, mut list: KeyList, done: Done, form: &HtmlFormElement) {
        let reveal = reveal(&mut list);
        self.list.set(list);
        self.toaster.succeed(text::done(done).to_owned());
        if reveal.is_some() {
            self.entry.set(Entry { is_live: true, ..Entry::default() });
            self.open.set(reveal);
        } else if let Ok(Some(dialog)) = form.closest("dialog[open]") {
            self.leave(dialog.unchecked_ref());
        }
        self.keep_focus();
    }

    fn refuse(self, refusal: Refusal, form: HtmlFormElement) {
        if refusal.fields.is_empty() {
            self.toaster.fail(refusal.detail);
        } else if form.is_connected() {
            self.entry.update(|entry| entry.refusal = refusal);
            // The fields are marked when the view is updated. The next frame then focuses the first invalid field.
            request_animation_frame(move || {
                browser::focus(form.query_selector("[aria-invalid=true]").ok().flatten());
            });
        }
    }
}

/// Moves the new secret out of the list, so that it lives only as long as the dialog that shows it.
fn reveal(list: &mut KeyList) -> Option<Open> {
    let new = list.new.take()?;
    let key = list.find(&new.id)?.clone();
    Some(Open::Reveal { key, secret: new.secret, since: list.now })
}
