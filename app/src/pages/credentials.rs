//! The form that signing in and signing up have in common.

use super::frame::{parameter, set_status, submission};
use crate::backend::{backend, request};
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
    let (backend, request) = (backend()?, request()?);
    Ok((backend.is_sign_up_open().await?, backend.is_unencrypted(&request)))
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
    let detail = refusal.detail.clone();
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
        {(!detail.is_empty())
            .then(|| {
                view! {
                    <div class="notice danger" role="alert">
                        <Icon name="alert" />
                        <p>{detail}</p>
                    </div>
                }
            })}
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
                <FieldError id="email-error" problem=refusal.of(Field::Email).map(ToOwned::to_owned) />
            </div>
            <div class="field">
                <label for="password">{account::PASSWORD}</label>
                <input
                    id="password"
                    name="password"
                    type="password"
                    autocomplete=password_autocomplete
                    required
                    autofocus=password_is_next
                    aria-describedby="password-hint password-error"
                    aria-invalid=refusal.of(Field::Password).map(|_| "true")
                />
                <p class="hint" id="password-hint">
                    {(!password_hint.is_empty()).then_some(password_hint)}
                </p>
                <FieldError id="password-error" problem=refusal.of(Field::Password).map(ToOwned::to_owned) />
            </div>
            <button class="button primary wide">{submit}</button>
        </form>
    }
}

#[component]
fn FieldError(id: &'static str, problem: Option<String>) -> impl IntoView {
    view! {
        <p class="error" id=id>
            {problem.map(|problem| view! { <Icon name="alert" /> <span>{problem}</span> })}
        </p>
    }
}
