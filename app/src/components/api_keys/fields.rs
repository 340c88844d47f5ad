//! The form fields of the dialogs, with labels, hints and errors.

use super::form::Form;
use super::state::{Entry, State};
use crate::components::icon::Icon;
use crate::domain::description::Description;
use crate::domain::expiry::Period;
use crate::domain::field_error::{Field, FieldError};
use crate::domain::key_name::KeyName;
use crate::domain::rotation::Grace;
use crate::domain::timestamp::Timestamp;
use crate::text::{self, keys};
use leptos::either::EitherOf3;
use leptos::prelude::*;
use web_sys::HtmlInputElement;

/// A field: its label, its control, a hint that depends on the current value, and its error.
pub(super) fn field_row(state: State, field: Field, form: &Form, entry: &Entry) -> impl IntoView + use<> {
    let id = field.name();
    let now = state.list.with_untracked(|list| list.now);
    let initial = form.initial.field(field).to_owned();
    let problem = entry.refusal.of(field).map(ToOwned::to_owned);
    let is_invalid = if problem.is_some() { "true" } else { "false" };
    let described_by = format!("{id}-hint {id}-error");
    let (label, control) = match field {
        Field::ExpireIn | Field::Grace => (
            if field == Field::Grace { keys::GRACE } else { keys::EXPIRE_IN },
            EitherOf3::A(view! {
                <select id=id name=id aria-describedby=described_by aria-invalid=is_invalid>
                    {options(choices(field, form.later_than(), now), &initial)}
                </select>
            }),
        ),
        Field::Description => (
            keys::DESCRIPTION,
            EitherOf3::B(view! {
                <textarea
                    id=id
                    name=id
                    rows="3"
                    aria-describedby=described_by
                    aria-invalid=is_invalid
                    inner_html=escaped(&initial)
                ></textarea>
            }),
        ),
        _ => (
            if field == Field::Name { keys::NAME } else { keys::REENTER },
            EitherOf3::C(view! {
                <input
                    id=id
                    name=id
                    value=initial.clone()
                    autocomplete="off"
                    autocapitalize="off"
                    spellcheck="false"
                    autofocus
                    required
                    aria-describedby=described_by
                    aria-invalid=is_invalid
                />
            }),
        ),
    };
    let (hint, is_warning) = hint(field, entry.typed.field(field), now);
    view! {
        <div
            class="field"
            on:input=move |event| state.mend(field, event_target_value(&event))
            on:focusin=move |event| {
                let input = event_target::<HtmlInputElement>(&event);
                // Selects the initial name, so that typing replaces it.
                if field == Field::Name && input.value() == initial {
                    input.select();
                }
            }
        >
            <label for=id>{label}</label>
            {control}
            <p class="hint" data-warning=is_warning id=format!("{id}-hint") aria-live="polite">
                {(!hint.is_empty()).then_some(hint)}
            </p>
            <p class="error" id=format!("{id}-error")>
                {problem.map(|problem| view! { <Icon name="alert" /> <span>{problem}</span> })}
            </p>
        </div>
    }
}

/// Escapes the content of a `<textarea>`, which Leptos does not escape (HTML, escapable raw text elements).
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

/// Validates a value with the same rules as the server. Rules that need the database are not checked.
pub(super) fn check(field: Field, value: &str) -> Option<FieldError> {
    match field {
        Field::Name => KeyName::parse(value).err(),
        Field::Description => Description::parse(value).err(),
        _ => None,
    }
}

/// The hint below a field, and whether it is a warning.
fn hint(field: Field, value: &str, now: Timestamp) -> (String, bool) {
    match field {
        Field::Name => (keys::NAME_HINT.to_owned(), false),
        Field::Description => {
            let length = Description::length(value);
            (text::character_count(length, Description::MAX), length > Description::MAX)
        }
        Field::ExpireIn => {
            let end = Period::parse(value).unwrap_or_default().expires_at(now);
            (text::will_expire(end), end.is_none())
        }
        _ => (String::new(), false),
    }
}

/// Form value, label, and whether the choice is enabled.
type Choice = (&'static str, String, bool);

fn choices(field: Field, later_than: Option<Timestamp>, now: Timestamp) -> Vec<Choice> {
    if field == Field::Grace {
        return Grace::ALL.map(|grace| (grace.value(), text::grace(grace).to_owned(), true)).to_vec();
    }
    let is_later = |period: Period| later_than.is_none_or(|end| period.is_later_than(end, now));
    Period::ALL.map(|period| (period.value(), text::period(period.value()), is_later(period))).to_vec()
}

fn options(choices: Vec<Choice>, chosen: &str) -> impl IntoView + use<> {
    let option = |(value, words, can_be_chosen): Choice| {
        view! {
            <option value=value selected=value == chosen disabled=!can_be_chosen>
                {words}
            </option>
        }
    };
    choices.into_iter().map(option).collect_view()
}
