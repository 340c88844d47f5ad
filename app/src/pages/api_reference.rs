//! The API reference page.

use super::layout::WideFrame;
use super::not_found::ErrorPage;
use crate::backend::{self, ApiReference, Operation};
use crate::components::copyable::Copyable;
use crate::error::ConsoleError;
use crate::islands::Enhancements;
use crate::routes::{OPENAPI, RUNTIME};
use crate::text::api_reference;
use crate::text::runtimes::{CLOSE_CODES, FRAMES};
use leptos::either::Either;
use leptos::prelude::*;

/// All operations of the API, from the OpenAPI document.
#[component]
pub(super) fn ReferencePage() -> impl IntoView {
    // The context is missing when Leptos generates the list of routes at start-up.
    match (use_context::<ApiReference>(), origin()) {
        (Some(ApiReference(operations)), Ok(origin)) => Either::Right(content(&operations, &origin)),
        _ => Either::Left(view! { <ErrorPage error=ConsoleError::Internal /> }),
    }
}

fn origin() -> Result<String, ConsoleError> {
    Ok(backend::accounts()?.origin(&backend::request()?))
}

fn content(operations: &[Operation], origin: &str) -> impl IntoView + use<> {
    let groups = [(true, api_reference::FOR_KEYS), (false, api_reference::FOR_SESSIONS)]
        .map(|(is_open, title)| (title, operations.iter().filter(move |it| it.is_open_to_keys == is_open)));
    let links = groups.clone().map(|(title, group)| {
        view! {
            <p class="nav-title">{title}</p>
            <ul>
                {group
                    .map(|it| {
                        view! {
                            <li>
                                <a href=format!("#{}", anchor(it))>{it.title.clone()}</a>
                            </li>
                        }
                    })
                    .collect_view()}
            </ul>
        }
    });
    let sections = groups.map(|(title, group)| {
        view! {
            <section>
                <h2>{title}</h2>
                {group.map(|it| operation(it, origin)).collect_view()}
            </section>
        }
    });
    let links = links.into_iter().collect_view();
    let sections = sections.into_iter().collect_view();
    view! {
        <WideFrame title=api_reference::TITLE label=api_reference::ENDPOINTS navigation=links.into_any()>
            <header class="page-head">
                <div>
                    <h1>{api_reference::TITLE}</h1>
                    <p class="lead">
                        {api_reference::LEAD} " "
                        <a href=OPENAPI>{api_reference::DOCUMENT}</a>
                    </p>
                </div>
            </header>
            <div class="guide">{sections}</div>
            <Enhancements />
        </WideFrame>
    }
}

/// The id of the section of an operation.
fn anchor(operation: &Operation) -> String {
    operation.path.trim_matches('/').replace('/', "-")
}

fn operation(operation: &Operation, origin: &str) -> impl IntoView + use<> {
    let Operation { method, path, title, description, parameters, members, answers, response, .. } =
        operation.clone();
    let credential = if operation.is_open_to_keys {
        "-H \"Authorization: Bearer $MECHA_API_KEY_SECRET\""
    } else {
        "-b \"__Host-session=$SESSION\""
    };
    let is_runtime = path == RUNTIME;
    let (frames, codes) =
        if is_runtime { (owned(&FRAMES), owned(&CLOSE_CODES)) } else { (Vec::new(), Vec::new()) };
    let request = if is_runtime {
        api_reference::HELLO.to_owned()
    } else {
        format!("curl {credential} {origin}{path}")
    };
    let id = anchor(operation);
    let title_id = format!("{id}-title");
    let labelledby = title_id.clone();
    view! {
        <section class="operation" id=id aria-labelledby=labelledby>
            <div class="operation-text">
                <h3 id=title_id>{title}</h3>
                <p>
                    <code translate="no">
                        <strong>{method}</strong>
                        " "
                        {path}
                    </code>
                </p>
                <p>{description}</p>
                {terms(api_reference::PARAMETERS, parameters)}
                {terms(api_reference::MEMBERS, members)}
                {terms(api_reference::ANSWERS, answers)}
                {terms(api_reference::FRAMES, frames)}
                {terms(api_reference::CLOSE_CODES, codes)}
            </div>
            <div class="operation-examples">
                {example(api_reference::REQUEST, api_reference::COPY_REQUEST, request)}
                {example(api_reference::RESPONSE, api_reference::COPY_RESPONSE, response)}
            </div>
        </section>
    }
}

fn owned(terms: &[(&str, &str)]) -> Vec<(String, String)> {
    terms.iter().map(|(term, meaning)| ((*term).to_owned(), (*meaning).to_owned())).collect()
}

fn example(label: &'static str, what: &'static str, value: String) -> impl IntoView {
    view! {
        <div class="field">
            <span class="label">{label}</span>
            <Copyable what value />
        </div>
    }
}

fn terms(title: &'static str, terms: Vec<(String, String)>) -> impl IntoView {
    (!terms.is_empty()).then(|| {
        view! {
            <h4>{title}</h4>
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
