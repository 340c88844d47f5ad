//! The API reference page.

use super::layout::PlainFrame;
use super::not_found::ErrorPage;
use crate::backend::{ApiReference, Operation};
use crate::error::ConsoleError;
use crate::text::api_reference;
use leptos::either::Either;
use leptos::prelude::*;

/// Path of the OpenAPI document.
const DOCUMENT: &str = "/api/v1/openapi.json";

/// All operations of the API, from the OpenAPI document.
#[component]
pub(super) fn ReferencePage() -> impl IntoView {
    // The context is missing when Leptos generates the list of routes at start-up.
    match use_context::<ApiReference>() {
        None => Either::Left(view! { <ErrorPage error=ConsoleError::Internal /> }),
        Some(ApiReference(operations)) => Either::Right(view! {
            <PlainFrame title=api_reference::TITLE>
                <h1>{api_reference::TITLE}</h1>
                <p>
                    {api_reference::LEAD} " "
                    <a href=DOCUMENT>{api_reference::DOCUMENT}</a>
                </p>
                {operations.iter().cloned().map(operation).collect_view()}
            </PlainFrame>
        }),
    }
}

fn operation(operation: Operation) -> impl IntoView {
    let who = if operation.is_open_to_keys { api_reference::FOR_KEYS } else { api_reference::FOR_SESSIONS };
    view! {
        <section class="operation">
            <h2>{operation.title}</h2>
            <p>
                <code translate="no">{operation.method} " " {operation.path}</code>
            </p>
            <p>{operation.description}</p>
            <p class="quiet">{who}</p>
            {terms(api_reference::PARAMETERS, operation.parameters)}
            {terms(api_reference::MEMBERS, operation.members)}
            {terms(api_reference::ANSWERS, operation.answers)}
        </section>
    }
}

fn terms(title: &'static str, terms: Vec<(String, String)>) -> impl IntoView {
    (!terms.is_empty()).then(|| {
        view! {
            <h3>{title}</h3>
            <dl>
                {terms
                    .into_iter()
                    .map(|(term, meaning)| {
                        view! {
                            <div>
                                <dt>
                                    <code translate="no">{term}</code>
                                </dt>
                                <dd>{meaning}</dd>
                            </div>
                        }
                    })
                    .collect_view()}
            </dl>
        }
    })
}
