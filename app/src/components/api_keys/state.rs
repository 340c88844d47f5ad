//! What the island knows, and what happens to it.

use super::fields::check;
use super::form::Form;
use super::wire;
use crate::components::browser;
use crate::components::toast::Toaster;
use crate::domain::api_key::{ApiKey, KeyId, KeyList};
use crate::domain::timestamp::Timestamp;
use crate::error::{Field, Refusal};
use crate::routes::{Dialog, Done, EVENTS};
use crate::submission::{Page, Typed};
use crate::text;
use leptos::ev::{MouseEvent, SubmitEvent};
use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlDialogElement, HtmlElement, HtmlFormElement, HtmlInputElement};

/// The state of the page. Copies of it are the same state.
#[derive(Clone, Copy)]
pub(super) struct State {
    /// The account's keys.
    pub(super) list: RwSignal<KeyList>,
    /// The dialog that is open.
    pub(super) open: RwSignal<Option<Open>>,
    /// What goes on in that dialog.
    pub(super) entry: RwSignal<Entry>,
    /// What is told at the edge of the page.
    pub(super) toaster: Toaster,
    /// The address of this console.
    pub(super) origin: StoredValue<String>,
    /// The id of what had the focus when the dialog was opened.
    opener: StoredValue<String>,
    /// Whether an answer is awaited, also to a dialog that was closed meanwhile: two secrets at once could not
    /// both be shown.
    is_in_flight: StoredValue<bool>,
}

/// A dialog that is open.
#[derive(Clone)]
pub(super) enum Open {
    /// It asks something.
    Form(Form),
    /// It shows the secret of a new key.
    Reveal {
        /// The key.
        key: ApiKey,
        /// The credential.
        secret: String,
        /// Since when there is that.
        since: Timestamp,
    },
}

/// What goes on in a dialog.
#[derive(Clone, Default)]
pub(super) struct Entry {
    /// What stands in the fields.
    pub(super) typed: Typed,
    /// Why they were refused.
    pub(super) refusal: Refusal,
    /// Whether an answer is awaited.
    pub(super) is_waiting: bool,
    /// Whether a script runs.
    pub(super) is_live: bool,
    /// What came of the first request with the secret on show.
    pub(super) first_request: String,
    /// Whether closing has asked if the secret may go uncopied.
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

    /// Opens the dialog that a button in the list leads to, in place of following it.
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
        // A menu closes first and gives the focus back to its button, which the dialog then remembers.
        if let Ok(Some(menu)) = button.closest("[popover]") {
            let _ = menu.unchecked_into::<HtmlElement>().hide_popover();
        }
        self.show(&dialog);
    }

    /// Opens a dialog.
    pub(super) fn show(self, dialog: &Dialog) {
        let form = self.list.with_untracked(|list| Form::of(dialog, list, Typed::default()));
        let typed = form.as_ref().map(|form| form.initial.clone()).unwrap_or_default();
        self.opener.set_value(document().active_element().map(|element| element.id()).unwrap_or_default());
        self.toaster.clear();
        self.entry.set(Entry { typed, is_live: true, ..Entry::default() });
        self.open.set(form.map(Open::Form));
    }

    /// Where to hear what happens to the keys, and what has come of the secret on show before.
    pub(super) fn events(self) -> String {
        self.open.with_untracked(|open| match open {
            Some(Open::Reveal { key, since, .. }) => {
                format!("{EVENTS}?key={}&since={}", key.id.as_str(), since.0)
            }
            _ => EVENTS.to_owned(),
        })
    }

    /// Takes what has just happened to a key.
    pub(super) fn hear(self, event: &str) {
        let Some(event) = wire::event(event) else { return };
        let is_on_show = self.open.with_untracked(
            |open| matches!(open, Some(Open::Reveal { key, .. }) if key.id.as_str() == event.key_id),
        );
        if is_on_show && !event.first_request.is_empty() {
            self.entry.update(|entry| entry.first_request = event.first_request);
        }
        // What somebody is about to choose from stays where it is; and an answer may have come by a shorter way.
        let is_newer = self.list.with_untracked(|list| event.list.now >= list.now);
        if is_newer && !browser::is_in_use(".keys") {
            self.list.set(event.list);
        }
    }

    /// Closes the dialog. A secret that was not copied asks once before it is gone.
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

    /// Closes the dialog and takes it out of the document at once, without waiting for the event that tells
    /// of its closing: the secret is gone when the dialog is.
    fn leave(self, dialog: &HtmlDialogElement) {
        // The browser gives the focus back to where it came from.
        dialog.close();
        self.on_closed();
    }

    fn has_secret(self) -> bool {
        self.open.with_untracked(|open| matches!(open, Some(Open::Reveal { .. })))
    }

    /// Forgets the dialog that was closed, and with it the secret that it may have shown.
    pub(super) fn on_closed(self) {
        self.open.set(None);
        self.entry.set(Entry::default());
        self.keep_focus();
    }

    /// What had the focus may be gone with what was done, or have been made anew.
    fn keep_focus(self) {
        let opener = self.opener.get_value();
        request_animation_frame(move || browser::keep_focus(&opener));
    }

    /// Takes a secret on show out of memory and out of the document.
    pub(super) fn forget_secret(self) {
        if self.has_secret() {
            self.on_closed();
        }
    }

    /// Takes what is typed into a field. While it is mended its error follows: it changes with what is
    /// still wrong, and then goes.
    pub(super) fn mend(self, field: Field, value: String) {
        self.entry.update(|entry| {
            entry.refusal.mend(field, check(field, &value));
            entry.typed.set(field, value);
        });
    }

    /// Sends a form to its server function, once at a time, and takes the state that it answers with.
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
            // The fields are marked in the next task; then the first of them gets the focus.
            request_animation_frame(move || {
                browser::focus(form.query_selector("[aria-invalid=true]").ok().flatten());
            });
        }
    }
}

/// Moves the secret of a new key out of the list: it lives as long as the dialog that shows it.
fn reveal(list: &mut KeyList) -> Option<Open> {
    let new = list.new.take()?;
    let key = list.find(&new.id)?.clone();
    Some(Open::Reveal { key, secret: new.secret, since: list.now })
}
