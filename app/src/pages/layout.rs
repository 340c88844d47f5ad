//! What pages have around them, and what they ask of the request.

use crate::backend::SignedIn;
use crate::components::icon::Icon;
use crate::error::Refusal;
use crate::routes::{ACCOUNT, ACTIVITY, HOME, USE_IT};
use crate::server_fns::account::SignOut;
use crate::submission::Submission;
use crate::text::{self, account, activity, integrate, keys, my_account};
use http::StatusCode;
use http::request::Parts;
use leptos::prelude::*;
use leptos::server_fn::ServerFn;
use leptos_axum::ResponseOptions;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;

/// The console of somebody who is signed in: the way to its settings, and out.
#[component]
pub(super) fn SettingsFrame(
    /// The page's name.
    title: &'static str,
    /// The page's address.
    here: &'static str,
    /// Who is signed in.
    who: SignedIn,
    /// Whether a dialog lies over the page, so that nothing around it can be reached.
    is_covered: bool,
    children: Children,
) -> impl IntoView {
    view! {
        <Title text=text::page_title(title) />
        <header class="top" inert=is_covered>
            <a class="skip" href="#content">
                {text::SKIP_TO_CONTENT}
            </a>
            <a class="brand" href=HOME>
                <Logo />
                {text::PRODUCT}
            </a>
            <div class="who">
                <span class="who-email">{who.email}</span>
                <form method="post" action=SignOut::PATH>
                    <button class="button quiet small">{account::SIGN_OUT}</button>
                </form>
            </div>
        </header>
        <div class="settings">
            <nav aria-label=text::SETTINGS inert=is_covered>
                <p class="nav-title">{text::SETTINGS}</p>
                <ul>
                    {[
                        (HOME, "key", keys::TITLE),
                        (USE_IT, "plug", integrate::TITLE),
                        (ACTIVITY, "clock", activity::TITLE),
                        (ACCOUNT, "person", my_account::TITLE),
                    ]
                        .map(|(href, icon, name)| {
                            view! {
                                <li>
                                    <a href=href aria-current=(href == here).then_some("page")>
                                        <Icon name=icon />
                                        {name}
                                    </a>
                                </li>
                            }
                        })
                        .into_iter()
                        .collect_view()}
                </ul>
            </nav>
            <main id="content" tabindex="-1">
                {children()}
            </main>
        </div>
    }
}

/// A page with one thing on it.
#[component]
pub(super) fn PlainFrame(title: &'static str, children: Children) -> impl IntoView {
    view! {
        <Title text=text::page_title(title) />
        <main class="plain">
            <p class="brand">
                <Logo />
                {text::PRODUCT}
            </p>
            {children()}
        </main>
    }
}

/// What was just done.
pub(super) fn done_notice(done: Option<&'static str>) -> impl IntoView {
    done.map(|done| {
        view! {
            <div class="notice" role="status">
                <Icon name="check" />
                <p>{done}</p>
            </div>
        }
    })
}

/// Why a form was refused as a whole; nothing, if its fields say it all.
pub(super) fn refusal_notice(refusal: &Refusal) -> impl IntoView + use<> {
    (!refusal.detail.is_empty()).then(|| {
        view! {
            <div class="notice danger" role="alert">
                <Icon name="alert" />
                <p>{refusal.detail.clone()}</p>
            </div>
        }
    })
}

#[component]
fn Logo() -> impl IntoView {
    view! { <img class="logo" src="/favicon.svg" alt="" width="28" height="28" /> }
}

/// What the form that this page answers came to, if it answers one.
pub(super) fn submission() -> Option<Submission> {
    use_context::<Parts>()?.extensions.get::<Submission>().cloned()
}

/// A parameter of the page's address; empty if it is not there.
pub(super) fn parameter(name: &str) -> String {
    use_query_map().with_untracked(|parameters| parameters.get(name)).unwrap_or_default()
}

/// Sets the status of the page.
pub(super) fn set_status(status: u16) {
    if let (Some(response), Ok(status)) = (use_context::<ResponseOptions>(), StatusCode::from_u16(status)) {
        response.set_status(status);
    }
}
