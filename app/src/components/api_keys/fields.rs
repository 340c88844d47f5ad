//! The form fields of the dialogs, with labels, hints and errors.
//!
//! The browser validates with the same rules as the server: see `islands/validation.rs`. What it shows for a choice, such
//! as the date of an expiry, is in the attribute `data-hint` of the choice.

use crate::components::icon::Icon;
use crate::domain::description::Description;
use crate::domain::expiry::Period;
use crate::domain::field_error::Field;
use crate::domain::mecha::KeyOwner;
use crate::domain::rotation::Grace;
use crate::domain::timestamp::Timestamp;
use crate::text::{self, keys, mechas};
use crate::view::submission::FormState;
use leptos::prelude::*;

/// A label, the control (`children`), a hint, and an error.
#[component]
fn FieldRow(
    field: Field,
    label: &'static str,
    #[prop(into)] hint: String,
    #[prop(optional)] is_warning: bool,
    /// Whether the hint depends on the choice, and is announced when it changes.
    #[prop(optional)]
    is_live: bool,
    error: Option<String>,
    children: Children,
) -> impl IntoView {
    let id = field.name();
    view! {
        <div class="field">
            <label for=id>{label}</label>
            {children()}
            <p
                class="hint"
                data-warning=is_warning
                id=format!("{id}-hint")
                aria-live=is_live.then_some("polite")
            >
                {(!hint.is_empty()).then_some(hint)}
            </p>
            <p class="error" id=format!("{id}-error")>
                {error.map(|error| view! { <Icon name="alert" /> <span>{error}</span> })}
            </p>
        </div>
    }
}

/// The error of a field, and the attributes `aria-describedby` and `aria-invalid` of its control.
fn described(field: Field, form: &FormState) -> (Option<String>, String, &'static str) {
    let error = form.refusal.of(field).map(ToOwned::to_owned);
    let is_invalid = if error.is_some() { "true" } else { "false" };
    (error, format!("{0}-hint {0}-error", field.name()), is_invalid)
}

/// A line of text. `data-select` makes the browser select it, so that typing replaces it.
fn line(
    field: Field,
    label: &'static str,
    hint: &'static str,
    initial: String,
    form: &FormState,
) -> impl IntoView + use<> {
    let (error, describedby, invalid) = described(field, form);
    let is_default = form.typed.get(field.name()).is_none() && !initial.is_empty();
    view! {
        <FieldRow field label hint error>
            <input
                id=field.name()
                name=field.name()
                value=initial
                autocomplete="off"
                autocapitalize="off"
                spellcheck="false"
                dir="auto"
                autofocus
                required
                data-select=is_default
                aria-describedby=describedby
                aria-invalid=invalid
            />
        </FieldRow>
    }
}

/// The name of a key.
pub(crate) fn name(form: &FormState, default: &str) -> impl IntoView + use<> {
    line(Field::Name, keys::NAME, keys::NAME_HINT, form.typed.field_or(Field::Name, default), form)
}

/// The name of a Mecha.
pub(crate) fn mecha_name(form: &FormState, default: &str) -> impl IntoView + use<> {
    let initial = form.typed.field_or(Field::MechaName, default);
    line(Field::MechaName, mechas::NAME, keys::NAME_HINT, initial, form)
}

/// The name of a key or a Mecha, to confirm its deletion.
pub(crate) fn confirm_name(label: &'static str, form: &FormState) -> impl IntoView + use<> {
    line(Field::ConfirmName, label, "", form.typed.field(Field::ConfirmName).to_owned(), form)
}

/// The description of a key.
pub(crate) fn description(form: &FormState, default: &str) -> impl IntoView + use<> {
    let (error, describedby, invalid) = described(Field::Description, form);
    let typed = form.typed.field_or(Field::Description, default);
    let length = Description::length(&typed);
    let is_over = length > Description::MAX;
    // Leptos does not escape the content of a `<textarea>` (HTML, escapable raw text elements).
    let escaped = typed.replace('&', "&amp;").replace('<', "&lt;");
    view! {
        <FieldRow
            field=Field::Description
            label=keys::DESCRIPTION
            hint=text::character_count(length, Description::MAX)
            is_warning=is_over
            error
        >
            <textarea
                id="description"
                name="description"
                rows="3"
                dir="auto"
                aria-describedby=describedby
                aria-invalid=invalid
                inner_html=escaped
            ></textarea>
        </FieldRow>
    }
}

/// The period until a key expires. With `later_than`, periods that end earlier are not offered.
pub(super) fn expire_in(
    form: &FormState,
    later_than: Option<Timestamp>,
    now: Timestamp,
) -> impl IntoView + use<> {
    let default = later_than.map_or_else(Period::default, |at| Period::for_refresh(at, now));
    // The value may come from a link.
    let chosen = Period::parse(form.typed.field(Field::ExpireIn)).unwrap_or(default);
    let end = chosen.expires_at(now);
    let options = Period::ALL.map(|period| {
        let end = period.expires_at(now);
        let is_offered = later_than.is_none_or(|at| period.is_later_than(at, now));
        view! {
            <option
                value=period.value()
                selected=period == chosen
                disabled=!is_offered
                data-hint=text::will_expire(end)
                data-warning=end.is_none()
            >
                {text::period(period.value())}
            </option>
        }
    });
    let (error, describedby, invalid) = described(Field::ExpireIn, form);
    view! {
        <FieldRow
            field=Field::ExpireIn
            label=keys::EXPIRE_IN
            hint=text::will_expire(end)
            is_warning=end.is_none()
            is_live=true
            error
        >
            <select id="expire_in" name="expire_in" aria-describedby=describedby aria-invalid=invalid>
                {options.into_iter().collect_view()}
            </select>
        </FieldRow>
    }
}

/// How long the previous secret stays valid.
pub(super) fn grace(form: &FormState, owner: &KeyOwner) -> impl IntoView + use<> {
    let (offered, default) = Grace::of(owner);
    let chosen = form.typed.field_or(Field::Grace, default.value());
    let options = offered.iter().map(move |grace| {
        view! {
            <option value=grace.value() selected=grace.value() == chosen>
                {text::grace(*grace)}
            </option>
        }
    });
    let (error, describedby, invalid) = described(Field::Grace, form);
    view! {
        <FieldRow field=Field::Grace label=keys::GRACE hint="" error>
            <select id="grace" name="grace" aria-describedby=describedby aria-invalid=invalid>
                {options.into_iter().collect_view()}
            </select>
        </FieldRow>
    }
}
