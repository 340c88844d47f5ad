//! Settings → Account: password, sessions and deletion of the account. Plain forms, which need no script.

use super::credentials_form::PasswordField;
use super::layout::{SettingsFrame, done_notice, error_notice, parameter, set_status, submission};
use super::not_found::ErrorPage;
use crate::backend::{self, AccountPage, SessionView, SignedIn, require_account};
use crate::components::icon::Icon;
use crate::components::moment::Moment;
use crate::domain::field_error::Field;
use crate::domain::timestamp::Timestamp;
use crate::error::ConsoleError;
use crate::routes::{ACCOUNT, Action, Done};
use crate::text::browser::browser;
use crate::text::time::date;
use crate::text::{self, account, account_page};
use crate::view::refusal::Refusal;
use leptos::either::Either;
use leptos::prelude::*;

/// The settings of the signed-in account.
#[component]
pub(super) fn AccountSettingsPage() -> impl IntoView {
    let refusal = submission().and_then(|submission| submission.outcome.err()).unwrap_or_default();
    if refusal.status > 0 {
        set_status(refusal.status);
    }
    let done = Done::parse(&parameter("done"))
        .filter(|done| matches!(done, Done::PasswordChanged | Done::OtherSessionEnded))
        .map(text::done);
    let page = Suspend::new(async move {
        match load().await {
            Err(error) => Either::Left(view! { <ErrorPage error /> }),
            Ok((who, page)) => {
                let email = who.email.clone();
                Either::Right(view! {
                    <SettingsFrame title=account_page::TITLE here=ACCOUNT who is_covered=false>
                        {content(&email, &page, &refusal, done)}
                    </SettingsFrame>
                })
            }
        }
    });
    view! { <Suspense fallback=|| ()>{page}</Suspense> }
}

async fn load() -> Result<(SignedIn, AccountPage), ConsoleError> {
    let request = backend::request()?;
    let who = require_account().await?;
    let page = backend::accounts()?.account(&request, &who).await?;
    Ok((who, page))
}

fn content(
    email: &str,
    page: &AccountPage,
    refusal: &Refusal,
    done: Option<&'static str>,
) -> impl IntoView + use<> {
    let now = page.now;
    view! {
        <header class="page-head">
            <div>
                <h1>{account_page::TITLE}</h1>
                <p class="lead">{account_page::LEAD}</p>
            </div>
        </header>
        {done_notice(done)}
        {error_notice(refusal)}
        <div class="guide">
            {password(email, refusal)}
            <section aria-labelledby="sessions">
                <h2 id="sessions">{account_page::SESSIONS}</h2>
                <p>{account_page::SESSIONS_LEAD}</p>
                <ul class="rows">{page.sessions.iter().map(|it| session(it, now)).collect_view()}</ul>
                <form method="post" action=Action::SignOutEverywhere.path()>
                    <button class="button quiet small">{account_page::SIGN_OUT_EVERYWHERE}</button>
                </form>
            </section>
            {delete(email, page.keys, refusal)}
        </div>
    }
}

fn password(email: &str, refusal: &Refusal) -> impl IntoView + use<> {
    let problem = |field| refusal.of(field).map(ToOwned::to_owned);
    view! {
        <section aria-labelledby="change-password">
            <h2 id="change-password">{account_page::CHANGE_PASSWORD}</h2>
            <p>{account_page::CHANGE_LEAD}</p>
            <form class="short" method="post" action=Action::ChangePassword.path() novalidate>
                {username(email)}
                <PasswordField
                    field=Field::CurrentPassword
                    label=account_page::CURRENT_PASSWORD
                    autocomplete="current-password"
                    problem=problem(Field::CurrentPassword)
                />
                <PasswordField
                    field=Field::NewPassword
                    label=account_page::NEW_PASSWORD
                    autocomplete="new-password"
                    hint=account::PASSWORD_HINT
                    problem=problem(Field::NewPassword)
                />
                <button class="button primary">{account_page::CHANGE_PASSWORD}</button>
            </form>
        </section>
    }
}

fn delete(email: &str, keys: usize, refusal: &Refusal) -> impl IntoView + use<> {
    view! {
        <section aria-labelledby="delete-account">
            <h2 id="delete-account">{account_page::DELETE}</h2>
            <p>{account_page::delete_lead(keys)}</p>
            <form class="short" method="post" action=Action::DeleteAccount.path() novalidate>
                {username(email)}
                <PasswordField
                    field=Field::ConfirmPassword
                    label=account::PASSWORD
                    autocomplete="current-password"
                    problem=refusal.of(Field::ConfirmPassword).map(ToOwned::to_owned)
                />
                <button class="button" data-danger>{account_page::DELETE_CONFIRM}</button>
            </form>
        </section>
    }
}

/// A hidden user name, so that password managers offer and store the password for the right account.
fn username(email: &str) -> impl IntoView + use<> {
    view! { <input type="text" autocomplete="username" value=email.to_owned() hidden readonly /> }
}

fn session(session: &SessionView, now: Timestamp) -> impl IntoView + use<> {
    let name = browser(&session.agent).unwrap_or_else(|| account_page::UNKNOWN_BROWSER.to_owned());
    let action = if session.is_current {
        Either::Left(view! { <span class="badge">{account_page::THIS_SESSION}</span> })
    } else {
        Either::Right(view! {
            <form method="post" action=Action::EndSession.path()>
                <input type="hidden" name="session" value=session.id.clone() />
                <button class="button quiet small" aria-label=account_page::end_session(&name, &session.address)>
                    {account_page::END_SESSION}
                </button>
            </form>
        })
    };
    view! {
        <li>
            <Icon name="person" />
            <div>
                <p title=session.agent.clone()>{name}</p>
                <p class="quiet">
                    <Moment
                        at=Some(session.created_at)
                        text=account_page::began(&date(session.created_at), &session.address)
                    /> ", "
                    <Moment at=Some(session.last_seen_at) text=account_page::last_seen(session.last_seen_at, now) />
                </p>
            </div>
            {action}
        </li>
    }
}
