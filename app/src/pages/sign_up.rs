//! The sign-up page.

use super::credentials_form::{Attempt, CredentialsForm, terms};
use super::layout::PlainFrame;
use super::not_found::ErrorPage;
use crate::routes::{Action, SIGN_IN, with_next};
use crate::text::account;
use leptos::either::Either;
use leptos::prelude::*;

/// A form for e-mail address and password, or a message if sign-ups are closed.
#[component]
pub(super) fn SignUpPage() -> impl IntoView {
    let attempt = Attempt::take();
    let page = Suspend::new(async move {
        let (is_open, is_unencrypted) = match terms().await {
            Ok(terms) => terms,
            Err(error) => return Either::Left(view! { <ErrorPage error /> }),
        };
        let sign_in = with_next(SIGN_IN, &attempt.next);
        let (lead, form) = if is_open {
            let form = view! {
                <CredentialsForm
                    action=Action::SignUp.path()
                    submit=account::CREATE_ACCOUNT
                    password_autocomplete="new-password"
                    password_hint=account::PASSWORD_HINT
                    is_unencrypted
                    attempt
                />
            };
            (account::SIGN_UP_LEAD, Either::Left(form))
        } else {
            (account::CLOSED_LEAD, Either::Right(view! { <p>{account::CLOSED}</p> }))
        };
        Either::Right(view! {
            <PlainFrame title=account::SIGN_UP>
                <h1>{account::SIGN_UP}</h1>
                <p class="lead">{lead}</p>
                {form}
                <p class="aside">{account::HAVE_ACCOUNT} " " <a href=sign_in>{account::SIGN_IN}</a></p>
            </PlainFrame>
        })
    });
    view! { <Suspense fallback=|| ()>{page}</Suspense> }
}
