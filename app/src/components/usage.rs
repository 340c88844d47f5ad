//! Who used a key lately, and who was refused with it: a piece of the page, made on the server only.

use super::moment::Moment;
use crate::domain::timestamp::Timestamp;
use crate::domain::usage::{ClientName, ClientUse, DeniedClient, KeyUsage};
use crate::routes::Dialog;
use crate::text::usage as text;
use leptos::prelude::*;

/// For a dialog that takes something away: who would notice. For the one that explains: who was refused, too.
#[must_use]
pub fn usage(dialog: &Dialog, usage: &KeyUsage, now: Timestamp) -> String {
    let refusals = matches!(dialog, Dialog::Usage(_)).then(|| refusals(&usage.refused, now));
    view! {
        {refusals}
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
                    {program(&used.program)}
                    <span>
                        {text::times(used.times)} ", "
                        <Moment at=Some(used.last_at) text=text::last(&now.since(used.last_at)) />
                    </span>
                </li>
            }
        })
        .collect_view();
    let nobody = uses.is_empty().then(|| view! { <p class="quiet">{text::NOBODY}</p> });
    view! {
        <h3>{text::USED_BY}</h3>
        {nobody}
        <ul>{rows}</ul>
    }
}

fn refusals(refused: &[DeniedClient], now: Timestamp) -> impl IntoView + use<> {
    let rows = refused
        .iter()
        .map(|refused| {
            view! {
                <li>
                    <p class="reason">{text::refused(refused.reason)}</p>
                    {program(&refused.program)}
                    <span>
                        {text::times(refused.times)} ", "
                        <Moment at=Some(refused.last_at) text=text::last(&now.since(refused.last_at)) />
                    </span>
                </li>
            }
        })
        .collect_view();
    let nobody = refused.is_empty().then(|| view! { <p class="quiet">{text::NO_REFUSALS}</p> });
    view! {
        <h3>{text::REFUSED}</h3>
        {nobody}
        <ul>{rows}</ul>
    }
}

fn program(program: &ClientName) -> impl IntoView + use<> {
    let is_others = program.address.is_empty();
    let address = if is_others { text::OTHERS.to_owned() } else { program.address.clone() };
    view! {
        <strong>{address}</strong>
        " "
        <span class="agent">{program.agent.clone()}</span>
        " "
    }
}
