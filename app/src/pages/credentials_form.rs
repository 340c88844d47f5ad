//! The form shared by sign-in and sign-up, and the password field.

use super::layout::{error_notice, parameter, set_status, submission};
use crate::backend::{self, request};
use crate::components::icon::Icon;
use crate::domain::field_error::Field;
use crate::error::ConsoleError;
use crate::text::account;
use crate::view::refusal::Refusal;
use crate::view::submission::{FormValues, Submission};
use leptos::prelude::*;

/// The initial state of the form, from a rejected submission or from the URL.
pub(super) struct Attempt {
    /// The entered values. Passwords are never part of it.
    pub(super) typed: FormValues,
    /// Why the submission was rejected; empty without a submission.
    pub(super) refusal: Refusal,
    /// The path to redirect to after success.
    pub(super) next: String,
}

impl Attempt {
    /// Reads the submission to which this page is the response, and sets the status of the page to the status of its
    /// error. Without a submission, reads the query parameter `next`.
    pub(super) fn take() -> Self {
        let Some(Submission { typed, outcome }) = submission() else {
            return Self {
                typed: FormValues::default(),
                refusal: Refusal::default(),
                next: parameter("next"),
            };
        };
        if let Err(refusal) = &outcome {
            set_status(refusal.status);
        }
        let next = typed.get("next").unwrap_or_default().to_owned();
        Self { typed, refusal: outcome.err().unwrap_or_default(), next }
    }
}

/// Returns whether sign-ups are open, and whether the request is sent unencrypted.
pub(super) async fn terms() -> Result<(bool, bool), ConsoleError> {
    let (accounts, request) = (backend::accounts()?, request()?);
    Ok((accounts.is_sign_up_open().await?, accounts.is_unencrypted(&request)))
}

/// A form for e-mail address and password. It needs no script.
#[component]
pub(super) fn CredentialsForm(
    /// The `action` of the form: the path of a server function.
    action: &'static str,
    /// Label of the submit button.
    submit: &'static str,
    /// `autocomplete` of the password field (WHATWG HTML, autofill).
    password_autocomplete: &'static str,
    /// Hint with the rules for the password; may be empty.
    #[prop(optional)]
    password_hint: &'static str,
    /// Whether the form is sent unencrypted; shows a warning.
    is_unencrypted: bool,
    attempt: Attempt,
) -> impl IntoView {
    let Attempt { typed, refusal, next } = attempt;
    let email = typed.field(Field::Email).to_owned();
    let password_is_next = !email.is_empty() && refusal.of(Field::Email).is_none();
    view! {
        {is_unencrypted
            .then(|| {
                view! {
                    <div class="notice" data-kind="warning">
                        <Icon name="alert" />
                        <p>{account::NOT_ENCRYPTED}</p>
                    </div>
                }
            })}
        {error_notice(&refusal)}
        <form method="post" action=action novalidate>
            <input type="hidden" name="next" value=next />
            <div class="field">
                <label for="email">{account::EMAIL}</label>
                <input
                    id="email"
                    name="email"
                    type="email"
                    inputmode="email"
                    autocomplete="username"
                    autocapitalize="off"
                    spellcheck="false"
                    required
                    autofocus=!password_is_next
                    value=email
                    aria-describedby="email-error"
                    aria-invalid=refusal.of(Field::Email).map(|_| "true")
                />
                <FieldError id="email-error".to_owned() problem=refusal.of(Field::Email).map(ToOwned::to_owned) />
            </div>
            <PasswordField
                field=Field::Password
                label=account::PASSWORD
                autocomplete=password_autocomplete
                hint=password_hint
                autofocus=password_is_next
                problem=refusal.of(Field::Password).map(ToOwned::to_owned)
            />
            <button class="button primary wide">{submit}</button>
        </form>
    }
}

/// A password field. No page ever renders a value into it.
#[component]
pub(super) fn PasswordField(
    field: Field,
    label: &'static str,
    /// `autocomplete` of the field (WHATWG HTML, autofill).
    autocomplete: &'static str,
    /// Hint with the rules for the password; may be empty.
    #[prop(optional)]
    hint: &'static str,
    /// Whether the field gets the focus when the page loads. With an error, it does in any case.
    #[prop(optional)]
    autofocus: bool,
    /// The field error of the last submission.
    problem: Option<String>,
) -> impl IntoView {
    let id = field.name();
    view! {
        <div class="field">
            <label for=id>{label}</label>
            <input
                id=id
                name=id
                type="password"
                autocomplete=autocomplete
                required
                autofocus=autofocus || problem.is_some()
                aria-describedby=format!("{id}-hint {id}-error")
                aria-invalid=problem.as_ref().map(|_| "true")
            />
            <p class="hint" id=format!("{id}-hint")>
                {(!hint.is_empty()).then_some(hint)}
            </p>
            <FieldError id=format!("{id}-error") problem />
        </div>
    }
}

#[component]
fn FieldError(id: String, problem: Option<String>) -> impl IntoView {
    view! {
        <p class="error" id=id>
            {problem.map(|problem| view! { <Icon name="alert" /> <span>{problem}</span> })}
        </p>
    }
}
