//! Timestamps on a page.

use crate::domain::timestamp::Timestamp;
use crate::text::time::date_and_time;
use leptos::either::Either;
use leptos::prelude::*;

/// Renders `text`. With a timestamp, wraps it in a `<time>` element that has the exact date and time as its `datetime`
/// and in a tooltip. The server renders the tooltip in UTC; [`super::browser::localise_moments`] converts it to the
/// time zone and language of the browser.
#[component]
pub fn Moment(at: Option<Timestamp>, text: String) -> impl IntoView {
    let Some(at) = at else { return Either::Left(text) };
    Either::Right(view! {
        <time datetime=at.rfc3339() title=date_and_time(at)>
            {text}
        </time>
    })
}
