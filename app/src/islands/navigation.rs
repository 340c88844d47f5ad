//! Links to dialogs and forms, without loading a page: fetches the page to which a form leads, and replaces the parts of
//! this page that differ.

use super::{copy, dialog, dom, history, list};
use crate::routes::Action;
use crate::text;
use js_sys::Promise;
use leptos::prelude::window;
use std::cell::{Cell, RefCell};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    AbortSignal, Document, DomParser, Element, FormData, Headers, HtmlButtonElement, HtmlFormElement,
    RequestInit, Response, SubmitEvent, SupportedType, UrlSearchParams,
};

/// How long a dialog may take before the page shows that it is loading, in milliseconds.
const LOADING_SHOWN_AFTER: i32 = 80;
/// Timeout for the response to a form, in milliseconds. That of the server is shorter.
const RESPONSE_TIMEOUT: u32 = 40_000;
/// How long the response to an early request can be used, in milliseconds.
const EARLY_REQUEST_VALID_FOR: f64 = 5_000.0;

thread_local! {
    /// Whether a form is being submitted. Only one is at a time: a double click is one submission.
    static IS_SUBMITTING: Cell<bool> = const { Cell::new(false) };
    /// The last request that was sent before its button was clicked.
    static EARLY: RefCell<Option<EarlyRequest>> = const { RefCell::new(None) };
}

struct EarlyRequest {
    url: String,
    sent_at: f64,
    response: Promise,
}

/// Why a page could not be loaded.
enum Failure {
    /// The console cannot be reached.
    Unreachable,
    /// The session has ended; the URL of the sign-in page.
    SignedOut(String),
    /// The response is not a page of the console.
    Unexpected,
}

/// Handles the forms of the page, and Back and Forward.
pub(super) fn enable() {
    enable_history();
    dom::on_document("submit", |event| {
        let event: SubmitEvent = event.unchecked_into();
        let Some(form) = dom::target(&event, "#content form").map(JsCast::unchecked_into::<HtmlFormElement>)
        else {
            return;
        };
        // The browser shows the response in the frame that the form names.
        if form.has_attribute("target") {
            dialog::renew_frame();
            return;
        }
        event.prevent_default();
        let button = event.submitter().map(JsCast::unchecked_into::<Element>);
        if form.id() == "way-out" {
            dialog::request_close();
        } else if form.method() == "get" {
            if let Some(url) = url(&form, button.as_ref()) {
                open(&url, button);
            }
        } else {
            submit(form, button);
        }
    });
    // A dialog is requested when its button is pressed or focused, before it is clicked.
    for kind in ["pointerdown", "focusin"] {
        dom::on_document(kind, |event| {
            let Some(button) = dom::target(&event, "[name=dialog]:not([aria-disabled])") else { return };
            let form = button.unchecked_ref::<HtmlButtonElement>().form();
            let Some(url) = form.and_then(|form| url(&form, Some(&button))) else { return };
            let is_known = EARLY.with_borrow(|early| early.as_ref().is_some_and(|it| it.is_valid_for(&url)));
            if !is_in_page(&url) && !is_known {
                let response = window().fetch_with_str(&url);
                // If it fails, the click sends another one.
                let ignored = JsFuture::from(response.clone());
                spawn_local(async move {
                    if ignored.await.is_err() {
                        EARLY.take();
                    }
                });
                EARLY.replace(Some(EarlyRequest { url, sent_at: js_sys::Date::now(), response }));
            }
        });
    }
    // The response may contain a secret that no later response contains.
    dom::on_window("beforeunload", |event| {
        if IS_SUBMITTING.get() {
            event.prevent_default();
        }
    });
    dom::on_document("click", |event| {
        if let Some(button) = dom::target(&event, "[data-do=retry]") {
            open(&dom::attribute(&button, "data-url"), None);
        }
    });
}

/// Handles Back, which closes the dialog first, and Forward to a dialog that was closed.
fn enable_history() {
    history::replace(&dom::page());
    dom::on_window("popstate", |_| {
        if history::is_at_dialog() {
            // A secret that was shown there has no URL.
            if !dialog::is_open() && history::has_query() {
                open(&history::url(), None);
            }
        } else if !dialog::is_open() {
            // Nothing that was requested before opens now.
            dialog::begin_opening();
        } else if copy::has_uncopied_secret() {
            history::enter(&dom::page());
            dialog::request_close();
        } else {
            dialog::close_silently();
        }
    });
}

impl EarlyRequest {
    fn is_valid_for(&self, url: &str) -> bool {
        self.url == url && js_sys::Date::now() - self.sent_at < EARLY_REQUEST_VALID_FOR
    }
}

/// Whether the dialog with this URL is in a template of the page.
fn is_in_page(url: &str) -> bool {
    dom::find("#new-key").is_some_and(|template| dom::attribute(&template, "data-url") == url)
}

/// The URL to which a form with method GET leads.
fn url(form: &HtmlFormElement, button: Option<&Element>) -> Option<String> {
    Some(format!(
        "{}?{}",
        form.get_attribute("action")?,
        String::from(fields(form, button).ok()?.to_string())
    ))
}

fn fields(form: &HtmlFormElement, button: Option<&Element>) -> Result<UrlSearchParams, JsValue> {
    let data = FormData::new_with_form(form)?;
    if let Some(button) =
        button.map(JsCast::unchecked_ref::<HtmlButtonElement>).filter(|it| !it.name().is_empty())
    {
        data.append_with_str(&button.name(), &button.value())?;
    }
    UrlSearchParams::new_with_str_sequence_sequence(&data)
}

/// Opens the dialog at this URL.
pub(super) fn open(url: &str, button: Option<Element>) {
    let button = button.map(|button| dialog::opener(&button));
    let number = dialog::begin_opening();
    dialog::show_toast("", "");
    if !dialog::is_open() && button.is_some() {
        history::enter(url);
    }
    if is_in_page(url) {
        dialog::show_template("#new-key");
        return;
    }
    dom::set_busy(button.as_ref(), true);
    dom::after(LOADING_SHOWN_AFTER, move || {
        if dialog::is_opening(number) {
            dialog::show_template("#loading");
        }
    });
    let url = url.to_owned();
    spawn_local(async move {
        let early = EARLY.take().filter(|early| early.is_valid_for(&url));
        let response = early.map_or_else(|| window().fetch_with_str(&url), |early| early.response);
        let page = load(response).await;
        dom::set_busy(button.as_ref(), false);
        if !dialog::is_opening(number) {
            return;
        }
        dialog::begin_opening();
        match page {
            Ok((page, _)) => match open_dialog(&page) {
                Some(content) => dialog::show(&content),
                None => show_failure(&Failure::Unexpected, &url),
            },
            Err(failure) => show_failure(&failure, &url),
        }
    });
}

/// Shows in the dialog why it could not be loaded, with a button to try again.
fn show_failure(failure: &Failure, url: &str) {
    dialog::show_template("#not-loaded");
    if let Some(retry) = dom::find("dialog [data-do=retry]") {
        dom::set(&retry, "data-url", url);
    }
    report(failure, true);
}

/// Reports a failure at the button of the open dialog, or else in the toast.
fn report(failure: &Failure, is_in_dialog: bool) {
    let text = match failure {
        Failure::Unreachable if !window().navigator().on_line() => text::OFFLINE,
        Failure::Unreachable => text::UNREACHABLE,
        Failure::SignedOut(_) => text::SIGNED_OUT,
        Failure::Unexpected => text::FAILED,
    };
    let link = match failure {
        Failure::SignedOut(url) => Some((url.as_str(), text::SIGN_IN_AGAIN)),
        _ => None,
    };
    if !is_in_dialog || !dialog::show_form_error(text, link) {
        dialog::show_toast("", text);
    }
}

/// Waits for a response, and parses its page. Returns also its address, after redirects.
async fn load(response: Promise) -> Result<(Document, String), Failure> {
    let response = JsFuture::from(response).await.map_err(|_| Failure::Unreachable)?;
    let response: Response = response.unchecked_into();
    let html = match response.text() {
        Ok(text) => JsFuture::from(text).await.map_err(|_| Failure::Unreachable)?,
        Err(_) => return Err(Failure::Unreachable),
    };
    let html = html.as_string().unwrap_or_default();
    let page = DomParser::new().and_then(|parser| parser.parse_from_string(&html, SupportedType::TextHtml));
    let page = page.map_err(|_| Failure::Unexpected)?;
    let sign_in = format!("[action='{}']", Action::SignIn.path());
    if page.query_selector(&sign_in).is_ok_and(|form| form.is_some()) {
        return Err(Failure::SignedOut(response.url()));
    }
    if page.get_element_by_id("list").is_some() {
        Ok((page, response.url()))
    } else {
        Err(Failure::Unexpected)
    }
}

/// The dialog that is open on a page.
fn open_dialog(page: &Document) -> Option<Element> {
    page.query_selector("#dialog[open]").ok().flatten()
}

/// Submits a form, and applies the page that is the response.
fn submit(form: HtmlFormElement, button: Option<Element>) {
    let Ok(body) = fields(&form, button.as_ref()) else { return };
    if IS_SUBMITTING.replace(true) {
        return;
    }
    dom::set_busy(button.as_ref(), true);
    let request = RequestInit::new();
    request.set_method("POST");
    request.set_body(&body);
    if let Ok(headers) = Headers::new() {
        let _ = headers.set("accept", "text/html");
        request.set_headers(&headers);
    }
    request.set_signal(Some(&AbortSignal::timeout_with_u32(RESPONSE_TIMEOUT)));
    let is_in_dialog = form.closest("dialog").ok().flatten().is_some();
    let action = form.get_attribute("action").unwrap_or_default();
    let response = window().fetch_with_str_and_init(&action, &request);
    spawn_local(async move {
        let page = load(response).await;
        IS_SUBMITTING.set(false);
        dom::set_busy(button.as_ref(), false);
        match page {
            Ok((page, url)) if leads_away(&page) => {
                let _ = window().location().replace(&url);
            }
            Ok((page, _)) => apply(&page, is_in_dialog, form.is_connected()),
            Err(failure) => report(&failure, form.is_connected() && is_in_dialog),
        }
    });
}

/// Whether the response to a form is another page, such as that of a new Mecha. A failure is shown on this page.
fn leads_away(page: &Document) -> bool {
    let place = page.get_element_by_id("list").map(|list| dom::attribute(&list, "data-page"));
    let has_failure =
        page.query_selector("#toast [role=alert]:not(:empty)").is_ok_and(|alert| alert.is_some());
    place.is_some_and(|place| place != dom::page()) && open_dialog(page).is_none() && !has_failure
}

/// Replaces the list, and shows the dialog of the page or closes the dialog of the form. If that was closed meanwhile, the
/// result is in the toast.
fn apply(page: &Document, is_in_dialog: bool, is_form_shown: bool) {
    // It may show the state before this change.
    EARLY.take();
    keep_opener(page);
    let focused = dom::focused_id();
    if let Some(list) = page.get_element_by_id("list")
        && dom::attribute(&list, "data-page") == dom::page()
    {
        list::adopt(&list);
    }
    let text = |selector: &str| {
        let place = page.query_selector(selector).ok().flatten();
        place.and_then(|place| place.text_content()).unwrap_or_default()
    };
    if let Some(content) = open_dialog(page) {
        let is_reveal = content.query_selector("[data-secret]").is_ok_and(|secret| secret.is_some());
        if is_reveal {
            dialog::begin_opening();
            history::replace(&dom::page());
        }
        // A secret is shown in any case.
        if is_reveal || (is_in_dialog && is_form_shown) {
            dialog::show(&content);
        } else {
            dialog::show_toast("", &text("#dialog [role=alert]:not(:empty), #dialog .error span"));
        }
        return;
    }
    if is_in_dialog && is_form_shown {
        dialog::close();
    }
    dialog::show_toast(&text("#toast [role=status]"), &text("#toast [role=alert]"));
    dom::keep_focus(&focused);
}

/// If the element that opened the dialog is gone from the page, the menu of its row gets the focus instead, or that of the
/// next row.
fn keep_opener(page: &Document) {
    let Some(key) = dom::find("dialog [name=key_id]") else { return };
    if page.get_element_by_id(&dialog::opener_id()).is_some() {
        return;
    }
    let menu = format!("actions-{}", dom::attribute(&key, "value"));
    if page.get_element_by_id(&menu).is_some() {
        dialog::set_opener(menu);
        return;
    }
    let menus = dom::find_all(&dom::body(), "[popovertarget]");
    let Some(at) = menus.iter().position(|other| other.id() == menu) else { return };
    let next = menus.get(at + 1).or_else(|| at.checked_sub(1).and_then(|at| menus.get(at)));
    dialog::set_opener(next.map(Element::id).unwrap_or_default());
}
