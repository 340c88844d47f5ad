//! Who used a key lately, and who was refused with it: a piece of the page, made on the server only.

use super::timestamp::Moment;
use crate::domain::timestamp::Timestamp;
use crate::domain::traffic::{Program, Refused, Traffic, Use};
use crate::navigation::Dialog;
use crate::text::traffic;
use leptos::prelude::*;

/// For a dialog that takes something away: who would notice. For the one that explains: who was refused, too.
#[must_use]
pub fn traffic(dialog: &Dialog, traffic: &Traffic, now: Timestamp) -> String {
    let refusals = matches!(dialog, Dialog::Traffic(_)).then(|| refusals(&traffic.refused, now));
    view! {
        {refusals}
        {uses(&traffic.uses, now)}
    }
    .to_html()
}

fn uses(uses: &[Use], now: Timestamp) -> impl IntoView + use<> {
    let rows = uses
        .iter()
        .map(|used| {
            view! {
                <li>
                    {program(&used.program)}
                    <span>
                        {traffic::times(used.times)} ", "
                        <Moment at=Some(used.last_at) text=traffic::last(&now.since(used.last_at)) />
                    </span>
                </li>
            }
        })
        .collect_view();
    let nobody = uses.is_empty().then(|| view! { <p class="quiet">{traffic::NOBODY}</p> });
    view! {
        <h3>{traffic::USED_BY}</h3>
        {nobody}
        <ul>{rows}</ul>
    }
}

fn refusals(refused: &[Refused], now: Timestamp) -> impl IntoView + use<> {
    let rows = refused
        .iter()
        .map(|refused| {
            view! {
                <li>
                    <p class="reason">{traffic::refused(refused.reason)}</p>
                    {program(&refused.program)}
                    <span>
                        {traffic::times(refused.times)} ", "
                        <Moment at=Some(refused.last_at) text=traffic::last(&now.since(refused.last_at)) />
                    </span>
                </li>
            }
        })
        .collect_view();
    let nobody = refused.is_empty().then(|| view! { <p class="quiet">{traffic::NO_REFUSALS}</p> });
    view! {
        <h3>{traffic::REFUSED}</h3>
        {nobody}
        <ul>{rows}</ul>
    }
}

fn program(program: &Program) -> impl IntoView + use<> {
    let is_others = program.address.is_empty();
    let address = if is_others { traffic::OTHERS.to_owned() } else { program.address.clone() };
    view! {
        <strong>{address}</strong>
        " "
        <span class="agent">{program.agent.clone()}</span>
        " "
    }
}
