//! The form that signing in and signing up have in common.

use super::layout::{parameter, refusal_notice, set_status, submission};
use crate::backend::{self, request};
use crate::components::icon::Icon;
use crate::error::{ConsoleError, Field, Refusal};
use crate::submission::{Submission, Typed};
use crate::text::account;
use leptos::prelude::*;

/// What a form is about to be filled with: what the last attempt left, or what the address says.
pub(super) struct Attempt {
    /// What was typed. A password is never given back.
    pub(super) typed: Typed,
    /// Why it was refused.
    pub(super) refusal: Refusal,
    /// Where to go afterwards.
    pub(super) next: String,
}

impl Attempt {
    /// From the form that this page answers, whose status is then the page's, or from the page's address.
    pub(super) fn take() -> Self {
        let Some(Submission { typed, outcome }) = submission() else {
            return Self { typed: Typed::default(), refusal: Refusal::default(), next: parameter("next") };
        };
        if let Err(refusal) = &outcome {
            set_status(refusal.status);
        }
        let next = typed.get("next").unwrap_or_default().to_owned();
        Self { typed, refusal: outcome.err().unwrap_or_default(), next }
    }
}

/// Whether a stranger may make an account, and whether what is sent travels unencrypted.
pub(super) async fn terms() -> Result<(bool, bool), ConsoleError> {
    let (accounts, request) = (backend::accounts()?, request()?);
    Ok((accounts.is_sign_up_open().await?, accounts.is_unencrypted(&request)))
}

/// E-mail and password. It is complete without a script.
#[component]
pub(super) fn CredentialsForm(
    /// Where it is sent.
    action: &'static str,
    /// What its button says.
    submit: &'static str,
    /// What the browser is to offer for the password (WHATWG HTML, autofill).
    password_autocomplete: &'static str,
    /// What a password must be like.
    #[prop(optional)]
    password_hint: &'static str,
    /// Whether what is sent travels unencrypted.
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
        {refusal_notice(&refusal)}
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

/// A password. It is never filled in: no page gives one back.
#[component]
pub(super) fn PasswordField(
    field: Field,
    label: &'static str,
    /// What the browser is to offer (WHATWG HTML, autofill).
    autocomplete: &'static str,
    /// What it must be like.
    #[prop(optional)]
    hint: &'static str,
    /// Whether it is the next thing to fill in.
    #[prop(optional)]
    autofocus: bool,
    /// What is wrong with the one that was entered.
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
                autofocus=autofocus
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
