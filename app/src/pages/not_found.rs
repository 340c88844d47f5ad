//! The error pages.

use super::layout::{PlainFrame, set_status};
use crate::error::ConsoleError;
use crate::routes::HOME;
use crate::text::not_found;
use crate::view::refusal::Refusal;
use leptos::prelude::*;

/// The page for unknown paths, with status 404.
#[component]
pub(super) fn NotFoundPage() -> impl IntoView {
    set_status(ConsoleError::NotFound.status());
    view! {
        <PlainFrame title=not_found::TITLE>
            <h1>{not_found::TITLE}</h1>
            <p>{not_found::LEAD}</p>
            <p>
                <a class="button primary" href=HOME>
                    {not_found::BACK}
                </a>
            </p>
        </PlainFrame>
    }
}

/// The page for an error, with its message and its status.
#[component]
pub(super) fn ErrorPage(error: ConsoleError) -> impl IntoView {
    let Refusal { status, detail, .. } = error.into();
    set_status(status);
    view! {
        <PlainFrame title=not_found::BROKEN_TITLE>
            <h1>{not_found::BROKEN_TITLE}</h1>
            <p>{detail}</p>
            <p>
                <a class="button primary" href=HOME>
                    {not_found::AGAIN}
                </a>
            </p>
        </PlainFrame>
    }
}
