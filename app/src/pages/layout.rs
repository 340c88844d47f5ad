//! The frames around pages, notices, and access to the request and the response.

use crate::backend::SignedIn;
use crate::components::copyable::Announcer;
use crate::components::icon::Icon;
use crate::routes::{ACCOUNT, ACTIVITY, Action, HOME, INTEGRATE, MECHAS};
use crate::text::{self, account, account_page, activity, integrate, keys, mechas};
use crate::view::refusal::Refusal;
use crate::view::submission::Submission;
use http::StatusCode;
use http::request::Parts;
use leptos::either::Either;
use leptos::prelude::*;
use leptos_axum::ResponseOptions;
use leptos_meta::Title;
use leptos_router::hooks::use_query_map;

/// The frame of the settings pages: header with sign-out, navigation, and content.
#[component]
pub(super) fn SettingsFrame(
    /// Title of the page.
    title: &'static str,
    /// Path of the page, to mark it in the navigation.
    here: &'static str,
    /// The signed-in account.
    who: SignedIn,
    /// Whether a dialog covers the page. Header and navigation are then inert.
    is_covered: bool,
    children: Children,
) -> impl IntoView {
    let pages = [
        (HOME, "key", keys::TITLE),
        (MECHAS, "mecha", mechas::TITLE),
        (INTEGRATE, "plug", integrate::TITLE),
        (ACTIVITY, "clock", activity::TITLE),
        (ACCOUNT, "person", account_page::TITLE),
    ];
    let links = pages.map(|(href, icon, name)| {
        view! {
            <li>
                <a href=href aria-current=(href == here).then_some("page")>
                    <Icon name=icon />
                    {name}
                </a>
            </li>
        }
    });
    let navigation = view! {
        <p class="nav-title">{text::SETTINGS}</p>
        <ul>{links.into_iter().collect_view()}</ul>
    };
    view! {
        <WideFrame title label=text::SETTINGS navigation=navigation.into_any() who is_covered>
            {children()}
        </WideFrame>
    }
}

/// A frame with a header, a navigation at the side, and content.
#[component]
pub(super) fn WideFrame(
    /// Title of the page.
    title: &'static str,
    /// The accessible name of the navigation.
    label: &'static str,
    /// The content of the navigation.
    navigation: AnyView,
    /// The signed-in account, on pages that require one.
    #[prop(optional)]
    who: Option<SignedIn>,
    /// Whether a dialog covers the page. Header and navigation are then inert.
    #[prop(optional)]
    is_covered: bool,
    children: Children,
) -> impl IntoView {
    let account = match who {
        Some(who) => Either::Left(view! {
            <span class="who-email">{who.email}</span>
            <form method="post" action=Action::SignOut.path()>
                <button class="button quiet small">{account::SIGN_OUT}</button>
            </form>
        }),
        None => Either::Right(view! {
            <a class="button quiet small" href=HOME>
                {keys::TITLE}
            </a>
        }),
    };
    view! {
        <Title text=text::page_title(title) />
        <header class="top" inert=is_covered>
            <div>
                <a class="skip" href="#content">
                    {text::SKIP_TO_CONTENT}
                </a>
                <a class="brand" href=HOME>
                    <Logo />
                    {text::PRODUCT}
                </a>
                {account}
            </div>
        </header>
        <div class="settings">
            <nav aria-label=label inert=is_covered>
                {navigation}
            </nav>
            <main id="content" tabindex="-1">
                {children()}
                <Announcer />
            </main>
        </div>
    }
}

/// The frame of pages outside the settings: logo and content.
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

/// A notice that confirms a successful action.
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

/// A notice with the error of a rejected form; nothing if there are only field errors.
pub(super) fn error_notice(refusal: &Refusal) -> impl IntoView + use<> {
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

/// The result of the form submission to which this page is the response, if there is one.
pub(super) fn submission() -> Option<Submission> {
    use_context::<Parts>()?.extensions.get::<Submission>().cloned()
}

/// A query parameter of the page's URL; empty if it is missing.
pub(super) fn parameter(name: &str) -> String {
    use_query_map().with_untracked(|parameters| parameters.get(name)).unwrap_or_default()
}

/// All values of a query parameter.
pub(super) fn parameters(name: &str) -> Vec<String> {
    use_query_map().with_untracked(|parameters| parameters.get_all(name)).unwrap_or_default()
}

/// Sets the HTTP status of the response.
pub(super) fn set_status(status: u16) {
    if let (Some(response), Ok(status)) = (use_context::<ResponseOptions>(), StatusCode::from_u16(status)) {
        response.set_status(status);
    }
}
