//! The error pages.

use super::layout::{PlainFrame, set_status};
use crate::error::ConsoleError;
use crate::routes::HOME;
use crate::text::missing;
use crate::view::refusal::Refusal;
use leptos::prelude::*;

/// The page for unknown paths, with status 404.
#[component]
pub(super) fn NotFoundPage() -> impl IntoView {
    set_status(ConsoleError::NotFound.status());
    view! {
        <PlainFrame title=missing::TITLE>
            <h1>{missing::TITLE}</h1>
            <p>{missing::LEAD}</p>
            <p>
                <a class="button primary" href=HOME>
                    {missing::BACK}
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
        <PlainFrame title=missing::BROKEN_TITLE>
            <h1>{missing::BROKEN_TITLE}</h1>
            <p>{detail}</p>
            <p>
                <a class="button primary" href=HOME>
                    {missing::AGAIN}
                </a>
            </p>
        </PlainFrame>
    }
}
