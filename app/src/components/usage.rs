//! The usage of a key as an HTML fragment, rendered on the server only.

use super::moment::Moment;
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::{ClientName, ClientUse, DeniedClient, KeyUsage};
use crate::routes::Dialog;
use crate::text::time::since;
use crate::text::usage as text;
use leptos::prelude::*;

/// Renders the clients that used a key recently. The usage dialog also shows denied requests; the other dialogs warn
/// about a change that affects these clients.
#[must_use]
pub fn usage(dialog: &Dialog, usage: &KeyUsage, now: Timestamp) -> String {
    let denials = matches!(dialog, Dialog::Usage(_)).then(|| denials(&usage.denied, now));
    view! {
        {denials}
        {uses(&usage.uses, now)}
    }
    .to_html()
}

fn uses(uses: &[ClientUse], now: Timestamp) -> impl IntoView + use<> {
    let rows = uses
        .iter()
        .map(|used| {
            view! {
                <li>
                    {client(&used.client)}
                    <span>
                        {text::times(used.times)} ", "
                        <Moment at=Some(used.last_at) text=text::last(&since(used.last_at, now)) />
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
                    <p class="reason">{text::refused(denial.reason)}</p>
                    {client(&denial.client)}
                    <span>
                        {text::times(denial.times)} ", "
                        <Moment at=Some(denial.last_at) text=text::last(&since(denial.last_at, now)) />
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
