//! Settings → Activity: the activity log of the account and its keys.

use super::layout::{SettingsFrame, parameter};
use super::not_found::ErrorPage;
use crate::backend::{self, SignedIn, require_account};
use crate::components::moment::Moment;
use crate::domain::activity::{Activity, ActivityKind, ActivityPage};
use crate::error::ConsoleError;
use crate::routes::ACTIVITY;
use crate::text::activity;
use crate::text::time::date_and_time;
use leptos::either::Either;
use leptos::prelude::*;

/// One page of the activity log, newest first. The query parameter `before` selects older pages.
#[component]
pub(super) fn ActivitySettingsPage() -> impl IntoView {
    let before = parameter("before").parse::<i64>().ok();
    let page = Suspend::new(async move {
        match load(before).await {
            Err(error) => Either::Left(view! { <ErrorPage error /> }),
            Ok((who, page)) => Either::Right(view! {
                <SettingsFrame title=activity::TITLE here=ACTIVITY who is_covered=false>
                    {content(&page, before.is_some())}
                </SettingsFrame>
            }),
        }
    });
    view! { <Suspense fallback=|| ()>{page}</Suspense> }
}

async fn load(before: Option<i64>) -> Result<(SignedIn, ActivityPage), ConsoleError> {
    let who = require_account().await?;
    let page = backend::accounts()?.activity(&who.account, before).await?;
    Ok((who, page))
}

fn content(page: &ActivityPage, has_newer: bool) -> impl IntoView + use<> {
    let oldest = page.entries.last().map(|entry| entry.id).filter(|_| page.has_older);
    let links = (has_newer || oldest.is_some()).then(|| {
        view! {
            <nav class="pages" aria-label=activity::PAGES>
                {has_newer.then(|| view! { <a class="button quiet small" href=ACTIVITY>{activity::NEWEST}</a> })}
                {oldest
                    .map(|oldest| {
                        view! {
                            <a class="button quiet small" href=format!("{ACTIVITY}?before={oldest}")>{activity::OLDER}</a>
                        }
                    })}
            </nav>
        }
    });
    let empty = page.entries.is_empty().then(|| view! { <p class="quiet">{activity::EMPTY}</p> });
    view! {
        <header class="page-head">
            <div>
                <h1>{activity::TITLE}</h1>
                <p class="lead">{activity::LEAD}</p>
            </div>
        </header>
        {empty}
        <ol class="rows">{page.entries.iter().map(entry).collect_view()}</ol>
        {links}
    }
}

fn entry(entry: &Activity) -> impl IntoView + use<> {
    view! {
        <li data-kind=(entry.what == ActivityKind::SignInRejected).then_some("warning")>
            <p>{activity::what(entry)}</p>
            <p class="quiet">
                <Moment at=Some(entry.at) text=date_and_time(entry.at) /> " "
                {activity::from(&entry.address)}
            </p>
        </li>
    }
}
