//! Timestamps on a page.

use crate::domain::timestamp::Timestamp;
use crate::text::time::{date, date_and_time};
use leptos::either::Either;
use leptos::prelude::*;

/// Renders `text`. With a timestamp, wraps it in a `<time>` element with the exact date and time, also in a tooltip. The
/// server renders the tooltip in UTC, and says so. The browser converts it to the time zone of the reader: see
/// [`crate::islands`].
#[component]
pub fn Moment(at: Option<Timestamp>, text: String) -> impl IntoView {
    let Some(at) = at else { return Either::Left(text) };
    Either::Right(view! {
        <time datetime=at.rfc3339() title=date_and_time(at)>
            {text}
        </time>
    })
}

/// Renders a date. The browser converts it to the time zone of the reader.
#[component]
pub fn Date(at: Timestamp) -> impl IntoView {
    view! {
        <time datetime=at.rfc3339() title=date_and_time(at) data-shows="date">
            {date(at)}
        </time>
    }
}

/// Renders a date and a time. The browser converts them to the time zone of the reader.
#[component]
pub fn DateAndTime(at: Timestamp) -> impl IntoView {
    view! {
        <time datetime=at.rfc3339() title=date_and_time(at) data-shows="minute">
            {date_and_time(at)}
        </time>
    }
}
