//! Settings → Activity: the activity log of the account and its keys.

use super::layout::{SettingsFrame, parameter};
use super::not_found::ErrorPage;
use crate::backend::{self, SignedIn, require_account};
use crate::components::icon::Icon;
use crate::components::moment::Moment;
use crate::domain::activity::{Activity, ActivityKind, ActivityPage, ActivityPosition, ActivityQuery};
use crate::domain::api_key::KeyId;
use crate::domain::timestamp::{DAY, Timestamp};
use crate::domain::usage::ClientName;
use crate::error::ConsoleError;
use crate::routes::{ACTIVITY, activity_url};
use crate::text::activity;
use crate::text::time::{clock_time, date};
use leptos::either::Either;
use leptos::prelude::*;

/// One page of the activity log, newest first. The query parameters `kind` and `key` select entries, and `before` and
/// `after` pages.
#[component]
pub(super) fn ActivitySettingsPage() -> impl IntoView {
    let id = |name| parameter(name).parse::<i64>().ok();
    let position = match (id("before"), id("after")) {
        (Some(before), _) => ActivityPosition::Before(before),
        (None, Some(after)) => ActivityPosition::After(after),
        (None, None) => ActivityPosition::Newest,
    };
    let kind = ActivityKind::parse(&parameter("kind"));
    let query = ActivityQuery { kind, key: KeyId::parse(&parameter("key")), position };
    let page = Suspend::new(async move {
        match load(&query).await {
            Err(error) => Either::Left(view! { <ErrorPage error /> }),
            Ok((who, page)) => Either::Right(view! {
                <SettingsFrame title=activity::TITLE here=ACTIVITY who is_covered=false>
                    {content(&page, &query)}
                </SettingsFrame>
            }),
        }
    });
    view! { <Suspense fallback=|| ()>{page}</Suspense> }
}

async fn load(query: &ActivityQuery) -> Result<(SignedIn, ActivityPage), ConsoleError> {
    let who = require_account().await?;
    let page = backend::accounts()?.activity(&who.account, query).await?;
    Ok((who, page))
}

fn content(page: &ActivityPage, query: &ActivityQuery) -> impl IntoView + use<> {
    let link = |is_possible: bool, entry: Option<&Activity>, to: fn(i64) -> ActivityPosition, label| {
        let position = entry.filter(|_| is_possible).map(|entry| to(entry.id));
        position.map(|position| {
            let url = activity_url(&ActivityQuery { position, ..query.clone() });
            view! { <a class="button quiet small" href=url>{label}</a> }
        })
    };
    let newer = link(page.has_newer, page.entries.first(), ActivityPosition::After, activity::NEWER);
    let older = link(page.has_older, page.entries.last(), ActivityPosition::Before, activity::OLDER);
    let pages = (newer.is_some() || older.is_some())
        .then(|| view! { <nav class="pages" aria-label=activity::PAGES>{newer} {older}</nav> });
    let empty = page.entries.is_empty().then(|| view! { <p class="quiet">{activity::EMPTY}</p> });
    let days = page.entries.chunk_by(|one, next| one.at.day() == next.at.day()).map(day).collect_view();
    view! {
        <header class="page-head">
            <div>
                <h1>{activity::TITLE}</h1>
                <p class="lead">{activity::LEAD}</p>
            </div>
        </header>
        {filter(page, query)}
        {empty}
        {days}
        {pages}
    }
}

/// The form that selects entries.
fn filter(page: &ActivityPage, query: &ActivityQuery) -> impl IntoView + use<> {
    let kinds = ActivityKind::all().map(|kind| {
        let is_chosen = query.kind == Some(kind);
        view! { <option value=kind.name() selected=is_chosen>{activity::kind(kind)}</option> }
    });
    // The log may have no entry of the chosen key any more.
    let chosen = query.key.iter().filter(|key| page.keys.iter().all(|(id, _)| id != *key));
    let chosen = chosen.map(|key| (key.clone(), key.as_str().to_owned()));
    let all: Vec<(KeyId, String)> = page.keys.iter().cloned().chain(chosen).collect();
    let keys = all.iter().map(|(id, name)| {
        let is_chosen = query.key.as_ref() == Some(id);
        let is_unique = all.iter().filter(|(_, other)| other == name).count() == 1;
        let label = if is_unique { name.clone() } else { activity::key_with_id(name, id.as_str()) };
        view! { <option value=id.as_str().to_owned() selected=is_chosen>{label}</option> }
    });
    view! {
        <form class="filter" action=ACTIVITY>
            <div class="field">
                <label for="kind">{activity::KIND}</label>
                <select id="kind" name="kind">
                    <option value="">{activity::ALL_KINDS}</option>
                    {kinds.collect_view()}
                </select>
            </div>
            <div class="field">
                <label for="key">{activity::KEY}</label>
                <select id="key" name="key">
                    <option value="">{activity::ALL_KEYS}</option>
                    {keys.collect_view()}
                </select>
            </div>
            <button class="button quiet small">{activity::FILTER}</button>
        </form>
    }
}

/// The entries of one day. Repeated entries are folded.
fn day(entries: &[Activity]) -> impl IntoView + use<> {
    let today = entries.first().map(|entry| date(Timestamp(entry.at.day() * DAY)));
    fn facts(entry: &Activity) -> (ActivityKind, &str, &str, &str, &ClientName) {
        (entry.what, &entry.key_name, &entry.mecha_name, &entry.became, &entry.client)
    }
    let is_repeated = |one: &Activity, next: &Activity| facts(one) == facts(next);
    let rows = entries.chunk_by(is_repeated).filter_map(|same| Some(entry(same.first()?, same.len())));
    view! {
        <section>
            <h2 class="day">{today}</h2>
            <ol class="rows">{rows.collect_view()}</ol>
        </section>
    }
}

fn entry(entry: &Activity, count: usize) -> impl IntoView + use<> {
    let times = (count > 1).then(|| view! { " " <span class="badge">{activity::times(count)}</span> });
    view! {
        <li data-kind=(entry.what == ActivityKind::SignInRejected).then_some("warning")>
            <Icon name=icon(entry.what) />
            <div>
                <p>{activity::what(entry)} {times}</p>
                <p class="quiet" title=entry.client.agent.clone()>
                    {activity::from(&entry.client)}
                </p>
            </div>
            <Moment at=Some(entry.at) text=clock_time(entry.at) />
        </li>
    }
}

fn icon(kind: ActivityKind) -> &'static str {
    match kind {
        ActivityKind::AccountCreated
        | ActivityKind::SignedIn
        | ActivityKind::SignedOut
        | ActivityKind::SessionEnded
        | ActivityKind::SignedOutEverywhere => "person",
        ActivityKind::SignInRejected => "alert",
        ActivityKind::PasswordChanged
        | ActivityKind::KeyRenamed
        | ActivityKind::KeyDescribed
        | ActivityKind::KeyAccessChanged
        | ActivityKind::MechaChanged => "pencil",
        ActivityKind::MechaCreated => "mecha",
        ActivityKind::KeyCreated => "key",
        ActivityKind::KeyRefreshed => "refresh",
        ActivityKind::KeyRotated
        | ActivityKind::PreviousSecretRetired
        | ActivityKind::PreviousSecretReplaced => "rotate",
        ActivityKind::KeySwitchedOn | ActivityKind::MechaSwitchedOn => "check",
        ActivityKind::RuntimeDrained | ActivityKind::RuntimeDisconnected => "plug",
        ActivityKind::KeySwitchedOff | ActivityKind::MechaSwitchedOff => "pause",
        ActivityKind::KeyDeleted | ActivityKind::MechaDeleted => "trash",
    }
}
