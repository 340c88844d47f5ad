//! The pages, rendered on the server. Interactive parts are islands.

mod account;
mod activity;
mod api_keys;
mod api_reference;
mod credentials_form;
mod integrate;
mod key_content;
mod layout;
mod mechas;
mod not_found;
mod sign_in;
mod sign_up;

use crate::routes::{HOME, INTEGRATE, MECHAS, REFERENCE, SIGN_IN, SIGN_UP};
use crate::text;
use http::request::Parts;
use leptos::prelude::*;
use leptos_meta::{HashedStylesheet, MetaTags, provide_meta_context};
use leptos_router::components::{Route, Router, Routes};
use leptos_router::{ParamSegment, SsrMode, StaticSegment};

/// The HTML document around every page.
///
/// Only pages with an island load the WebAssembly. `root` is the prefix of the paths of scripts and styles.
pub fn shell(options: LeptosOptions, root: String) -> impl IntoView {
    let is_live = use_context::<Parts>().is_some_and(|request| {
        let path = request.uri.path();
        [HOME, INTEGRATE, REFERENCE].contains(&path) || path.starts_with(MECHAS)
    });
    let with_island = is_live.then(|| (options.clone(), root.clone()));
    view! {
        <!DOCTYPE html>
        <html lang="en">
            <head>
                <meta charset="utf-8" />
                <meta name="viewport" content="width=device-width, initial-scale=1" />
                <meta name="color-scheme" content="light dark" />
                <meta name="description" content=text::DESCRIPTION />
                <link rel="icon" href="/favicon.svg" type="image/svg+xml" />
                <AutoReload options=options.clone() />
                <HashedStylesheet options root />
                {with_island.map(|(options, root)| view! { <HydrationScripts options root islands=true /> })}
                <MetaTags />
            </head>
            <body>
                <App />
            </body>
        </html>
    }
}

/// The routes of all pages. All use [`SsrMode::Async`], which waits for the data: a streamed page needs a script to be
/// assembled in the browser.
#[component]
pub fn App() -> impl IntoView {
    provide_meta_context();
    view! {
        <Router>
            <Routes fallback=not_found::NotFoundPage>
                <Route path=StaticSegment(SIGN_IN) view=sign_in::SignInPage ssr=SsrMode::Async />
                <Route path=StaticSegment(SIGN_UP) view=sign_up::SignUpPage ssr=SsrMode::Async />
                <Route path=(StaticSegment("docs"), StaticSegment("api")) view=api_reference::ReferencePage ssr=SsrMode::Async />
                <Route path=(StaticSegment("settings"), StaticSegment("use-it")) view=integrate::IntegratePage ssr=SsrMode::Async />
                <Route path=(StaticSegment("settings"), StaticSegment("account")) view=account::AccountSettingsPage ssr=SsrMode::Async />
                <Route path=(StaticSegment("settings"), StaticSegment("activity")) view=activity::ActivitySettingsPage ssr=SsrMode::Async />
                <Route path=StaticSegment("mechas") view=mechas::MechasPage ssr=SsrMode::Async />
                <Route path=(StaticSegment("mechas"), ParamSegment("id")) view=mechas::MechaPage ssr=SsrMode::Async />
                <Route
                    path=(StaticSegment("settings"), StaticSegment("api-keys"))
                    view=api_keys::ApiKeysPage
                    ssr=SsrMode::Async
                />
            </Routes>
        </Router>
    }
}
