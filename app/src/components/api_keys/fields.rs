//! The form fields of the dialogs, with labels, hints and errors.
//!
//! The browser validates with the same rules as the server: see `islands/validation.rs`. What it shows for a choice, such
//! as the date of an expiry, is in the attribute `data-hint` of the choice.

use crate::components::icon::Icon;
use crate::domain::access::{Access, Scope};
use crate::domain::description::Description;
use crate::domain::expiry::Expiry;
use crate::domain::field_error::Field;
use crate::domain::key_policy::KeyPolicy;
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
            <ErrorText field error />
        </div>
    }
}

/// The place for the error of a field.
#[component]
fn ErrorText(field: Field, error: Option<String>) -> impl IntoView {
    view! {
        <p class="error" id=format!("{}-error", field.name())>
            {error.map(|error| view! { <Icon name="alert" /> <span>{error}</span> })}
        </p>
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

/// The period until a key expires, or its last day. With `later_than`, periods and days that end earlier are not offered.
pub(super) fn expiry(
    form: &FormState,
    policy: &KeyPolicy,
    later_than: Option<Timestamp>,
    now: Timestamp,
) -> impl IntoView + use<> {
    let typed = form.typed.field(Field::ExpireIn);
    // The value may come from a link.
    let chosen = policy.periods().find(|period| period.value() == typed);
    let chosen = match typed {
        Expiry::DATE => None,
        _ => chosen.or_else(|| policy.default_period(later_than, now)),
    };
    let end = chosen.and_then(|period| period.expires_at(now));
    let periods = policy.periods().map(|period| {
        let end = period.expires_at(now);
        let is_offered = later_than.is_none_or(|at| period.is_later_than(at, now));
        view! {
            <option
                value=period.value()
                selected=Some(period) == chosen
                disabled=!is_offered
                data-hint=text::will_expire(end)
                data-warning=end.is_none()
            >
                {text::period(period.value())}
            </option>
        }
    });
    let periods = periods.collect_view();
    let is_warning = chosen.is_some() && end.is_none();
    let hint = if chosen.is_some() { text::will_expire(end) } else { keys::OTHER_DATE_HINT.to_owned() };
    let (error, describedby, invalid) = described(Field::ExpireIn, form);
    view! {
        <FieldRow field=Field::ExpireIn label=keys::EXPIRE_IN hint is_warning is_live=true error>
            <select id="expire_in" name="expire_in" aria-describedby=describedby aria-invalid=invalid>
                {periods}
                <option value=Expiry::DATE selected=chosen.is_none() data-hint=keys::OTHER_DATE_HINT>
                    {keys::OTHER_DATE}
                </option>
            </select>
        </FieldRow>
        {expires_on(form, policy.dates(later_than, now))}
    }
}

/// The last day of a key. The style sheet hides it while a period is chosen.
fn expires_on(form: &FormState, (first, last): (i64, i64)) -> impl IntoView + use<> {
    let (error, describedby, invalid) = described(Field::ExpiresOn, form);
    let iso = |day| Timestamp::end_of_day(day).iso_date();
    let typed = form.typed.field(Field::ExpiresOn).to_owned();
    view! {
        <div class="other-date">
            <FieldRow
                field=Field::ExpiresOn
                label=keys::EXPIRES_ON_DATE
                hint=keys::EXPIRES_ON_HINT
                error
            >
                <input
                    type="date"
                    id="expires_on"
                    name="expires_on"
                    min=iso(first)
                    max=iso(last)
                    value=typed
                    aria-describedby=describedby
                    aria-invalid=invalid
                />
            </FieldRow>
        </div>
    }
}

/// What a key has access to. The style sheet hides the scopes while everything is chosen.
pub(super) fn access(form: &FormState, policy: &KeyPolicy, of_key: &Access) -> impl IntoView + use<> {
    let (error, _, invalid) = described(Field::Scopes, form);
    let (is_restricted, chosen): (bool, Vec<&str>) = match form.typed.get(Field::Access.name()) {
        Some(access) => (access == Access::CHOSEN, form.typed.all(Field::Scopes.name()).collect()),
        None => {
            let scopes = of_key.scopes().map(|scopes| scopes.iter().map(Scope::as_str).collect());
            (scopes.is_some(), scopes.unwrap_or_default())
        }
    };
    let offered = policy.scopes.iter().map(|scope| (scope, None));
    let no_longer = policy.no_longer_offered(of_key).map(|scope| (scope, Some(keys::NO_LONGER_OFFERED)));
    let scopes = offered.chain(no_longer).enumerate().map(|(at, (scope, note))| {
        let scope = scope.as_str().to_owned();
        // An error is one of all of them: the first gets the focus.
        let invalid = (at == 0).then_some(invalid);
        view! {
            <label>
                <input
                    type="checkbox"
                    name="scopes"
                    value=scope.clone()
                    checked=chosen.contains(&scope.as_str())
                    aria-describedby="scopes-error"
                    aria-invalid=invalid
                />
                <span>{scope} {note.map(|note| format!(" ({note})"))}</span>
            </label>
        }
    });
    let scopes = scopes.collect_view();
    let radio = |value, checked, label| {
        view! {
            <label>
                <input type="radio" name="access" value=value checked=checked />
                <span>{label}</span>
            </label>
        }
    };
    view! {
        <fieldset class="access">
            <legend>{keys::ACCESS}</legend>
            {radio(Access::EVERYTHING, !is_restricted, keys::ACCESS_EVERYTHING)}
            {radio(Access::CHOSEN, is_restricted, keys::ACCESS_CHOSEN)}
            <div class="scopes">
                {scopes}
                <ErrorText field=Field::Scopes error />
            </div>
        </fieldset>
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
