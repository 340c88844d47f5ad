//! Moments on a page.

use crate::domain::timestamp::Timestamp;
use leptos::either::Either;
use leptos::prelude::*;

/// Words of the caller's; if they are about a moment, with its exact date and time for programs and in a tooltip: in
/// UTC as rendered, in the reader's own time zone and language once [`super::browser::localise_moments`] runs.
#[component]
pub fn Moment(at: Option<Timestamp>, text: String) -> impl IntoView {
    let Some(at) = at else { return Either::Left(text) };
    Either::Right(view! {
        <time datetime=at.rfc3339() title=at.date_and_time()>
            {text}
        </time>
    })
}
