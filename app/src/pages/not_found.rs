//! The pages for what is not there, and for what cannot be shown now.

use super::layout::{PlainFrame, set_status};
use crate::error::{ConsoleError, Refusal};
use crate::routes::HOME;
use crate::text::missing;
use leptos::prelude::*;

/// Says that there is nothing at this address, with status 404.
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

/// Says why a page cannot be shown, with the status of the error.
#[component]
pub(super) fn BrokenPage(error: ConsoleError) -> impl IntoView {
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
