//! The usage of a key: who used it, and which requests were denied.

use super::chart::UsageChart;
use crate::components::moment::Moment;
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::{ClientName, ClientUse, DeniedClient, KeyUsage};
use crate::text::time::ago;
use crate::text::usage as text;
use crate::view::key::KeyView;
use leptos::prelude::*;

/// The clients that used a key recently, which a change of the key affects.
#[component]
pub(super) fn Usage(
    usage: KeyUsage,
    now: Timestamp,
    /// The key, for the dialog that shows everything: requests per day, each of its secrets while two are valid, and
    /// denied requests.
    key: Option<KeyView>,
) -> impl IntoView {
    let denials = key.is_some().then(|| denials(&usage.denied, now));
    let chart = key.as_ref().map(|key| view! { <h3>{text::PER_DAY}</h3> <UsageChart usage=key.daily /> });
    let secrets = key.filter(|key| key.previous.is_some()).map(|key| secrets(&key, now));
    view! {
        <div class="usage">
            {chart}
            {secrets}
            {denials}
            {uses(&usage.uses, now)}
        </div>
    }
}

/// When each of the two valid secrets was last used.
fn secrets(key: &KeyView, now: Timestamp) -> impl IntoView + use<> {
    let previous = key.last_use_of_previous.clone();
    let not_used = if previous.is_some() { text::NEW_NOT_USED_SINCE } else { text::NEW_NOT_USED };
    let row = |label: &'static str, last: Option<(Timestamp, Option<String>)>, not_used: &'static str| {
        let text = last.as_ref().map_or_else(
            || not_used.to_owned(),
            |(at, from)| text::secret_used(label, &ago(*at, now), from.as_deref()),
        );
        view! {
            <li>
                <Moment at=last.map(|(at, _)| at) text />
            </li>
        }
    };
    view! {
        <h3>{text::SECRETS}</h3>
        <ul>
            {row(text::NEW_SECRET, key.last_use_of_current.clone(), not_used)}
            {row(text::OLD_SECRET, previous, text::OLD_NOT_USED)}
        </ul>
    }
}

fn uses(uses: &[ClientUse], now: Timestamp) -> impl IntoView + use<> {
    let rows = uses
        .iter()
        .map(|used| {
            view! {
                <li>
                    {client(&used.client)}
                    <span>
                        {text::requests(used.times)} ", "
                        <Moment at=Some(used.last_at) text=text::last(used.last_at, now) />
                    </span>
                </li>
            }
        })
        .collect_view();
    let empty = uses.is_empty().then(|| view! { <p class="quiet">{text::NOBODY}</p> });
    view! {
        <h3>{text::USED_BY}</h3>
        {empty}
        <ul>{rows}</ul>
    }
}

fn denials(denied: &[DeniedClient], now: Timestamp) -> impl IntoView + use<> {
    let rows = denied
        .iter()
        .map(|denial| {
            view! {
                <li>
                    <p class="reason">{text::refused(denial.reason, &denial.scope)}</p>
                    {client(&denial.client)}
                    <span>
                        {text::requests(denial.times)} ", "
                        <Moment at=Some(denial.last_at) text=text::last(denial.last_at, now) />
                    </span>
                </li>
            }
        })
        .collect_view();
    let empty = denied.is_empty().then(|| view! { <p class="quiet">{text::NO_REFUSALS}</p> });
    view! {
        <h3>{text::REFUSED}</h3>
        {empty}
        <ul>{rows}</ul>
    }
}

fn client(client: &ClientName) -> impl IntoView + use<> {
    // An empty address stands for the aggregate of all clients above the limit.
    let is_aggregate = client.address.is_empty();
    let address = if is_aggregate { text::OTHERS.to_owned() } else { client.address.clone() };
    view! {
        <strong>{address}</strong>
        " "
        <span class="agent">{client.agent.clone()}</span>
        " "
    }
}
