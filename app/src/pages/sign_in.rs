//! The sign-in page.

use super::credentials_form::{Attempt, CredentialsForm, terms};
use super::layout::{PlainFrame, done_notice, parameter};
use super::not_found::ErrorPage;
use crate::routes::{Action, Done, SIGN_UP, with_next};
use crate::text::{self, account};
use leptos::either::Either;
use leptos::prelude::*;

/// A form for e-mail address and password. Links to the sign-up page if sign-ups are open.
#[component]
pub(super) fn SignInPage() -> impl IntoView {
    let attempt = Attempt::take();
    let done = Done::parse(&parameter("done")).filter(|done| {
        matches!(
            done,
            Done::SignedOut | Done::SignedOutEverywhere | Done::AccountDeleted | Done::SessionEnded
        )
    });
    let done = done.map(text::done);
    let page = Suspend::new(async move {
        let (is_open, is_unencrypted) = match terms().await {
            Ok(terms) => terms,
            Err(error) => return Either::Left(view! { <ErrorPage error /> }),
        };
        let sign_up = with_next(SIGN_UP, &attempt.next);
        Either::Right(view! {
            <PlainFrame title=account::SIGN_IN>
                <h1>{account::SIGN_IN}</h1>
                <p class="lead">{account::SIGN_IN_LEAD}</p>
                {done_notice(done)}
                <CredentialsForm
                    action=Action::SignIn.path()
                    submit=account::SIGN_IN
                    password_autocomplete="current-password"
                    is_unencrypted
                    attempt
                />
                {is_open
                    .then(|| {
                        view! {
                            <p class="aside">
                                {account::NO_ACCOUNT_YET} " " <a href=sign_up>{account::CREATE_ACCOUNT}</a>
                            </p>
                        }
                    })}
            </PlainFrame>
        })
    });
    view! { <Suspense fallback=|| ()>{page}</Suspense> }
}
