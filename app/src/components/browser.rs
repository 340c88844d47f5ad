//! Access to browser APIs, used by the islands.

use crate::text;
use js_sys::Function;
use leptos::ev;
use leptos::prelude::{document, set_timeout, window, window_event_listener};
use leptos::task::spawn_local;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Element, Event, EventSource, FormData, Headers, HtmlDialogElement, HtmlDocument, HtmlElement,
    HtmlFormElement, HtmlInputElement, MessageEvent, RequestInit, Response, UrlSearchParams, VisibilityState,
};

/// Submits a form with `fetch` to its own `action`, and requests JSON instead of a page. The form thus defines the
/// request, with and without JavaScript.
///
/// Returns whether the request succeeded (status 2xx), and the JSON of the response.
///
/// # Errors
/// The request failed, or the response is not JSON.
pub async fn post(form: &HtmlFormElement) -> Result<(bool, JsValue), JsValue> {
    let fields = UrlSearchParams::new_with_str_sequence_sequence(&FormData::new_with_form(form)?.into())?;
    let headers = Headers::new()?;
    headers.set("accept", "application/json")?;
    let request = RequestInit::new();
    request.set_method("POST");
    request.set_headers(&headers);
    request.set_body(&fields);
    let path = form.get_attribute("action").unwrap_or_default();
    let response: Response =
        JsFuture::from(window().fetch_with_str_and_init(&path, &request)).await?.unchecked_into();
    Ok((response.ok(), JsFuture::from(response.json()?).await?))
}

/// The current names and values of the form controls in a dialog.
#[must_use]
pub fn fields(dialog: &Element) -> Vec<(String, String)> {
    let Ok(controls) = dialog.query_selector_all("[name]") else { return Vec::new() };
    (0..controls.length())
        .filter_map(|index| controls.get(index))
        .map(|control| {
            // Select and textarea elements have the same `name` and `value` properties as inputs.
            let control: HtmlInputElement = control.unchecked_into();
            (control.name(), control.value())
        })
        .collect()
}

/// The closest ancestor of the event's current target that matches `selector`, or the current target itself.
#[must_use]
pub fn closest<T: JsCast>(event: &Event, selector: &str) -> Option<T> {
    let element: Element = event.current_target()?.unchecked_into();
    element.closest(selector).ok()?.map(JsCast::unchecked_into)
}

/// Handles clicks on all copy buttons of the page, including buttons that are added later.
pub fn serve_copy_buttons() {
    window_event_listener(ev::click, |event| {
        let target: Option<Element> = event.target().map(JsCast::unchecked_into);
        let button = target.and_then(|target| target.closest(".copy").ok().flatten());
        if let Some(container) = button.and_then(|button| button.parent_element()) {
            spawn_local(async move { copy_value(&container).await });
        }
    });
}

/// How long the live region reports that a value was copied.
const COPIED_SHOWN_FOR: Duration = Duration::from_secs(4);

/// The attribute that marks an element whose value was copied.
pub const COPIED: &str = "data-copied";

/// Copies the text of the `code` element in `container` to the clipboard, and reports the result in the live region of
/// `container`. On success, marks `container` with [`COPIED`].
///
/// The Clipboard API exists only in secure contexts (HTTPS or localhost). Elsewhere, the text is selected and copied
/// with `execCommand`. If that fails too, the selection stays, so that the user can press Ctrl+C.
async fn copy_value(container: &Element) {
    let (Ok(Some(code)), Ok(Some(status))) =
        (container.query_selector("code"), container.query_selector("[role=status]"))
    else {
        return;
    };
    status.set_text_content(None);
    let is_copied = copy_text(&code).await.is_ok();
    status.set_text_content(Some(if is_copied { text::COPIED } else { text::COPY_FAILED }));
    if is_copied {
        let _ = container.set_attribute(COPIED, "");
        set_timeout(move || status.set_text_content(None), COPIED_SHOWN_FOR);
    }
}

/// Whether the secret in a dialog was copied, either by itself or as part of an example. Every copyable value except
/// the key id contains the secret.
#[must_use]
pub fn has_copied_secret(dialog: &Element) -> bool {
    let selector = format!("[{COPIED}]:not([data-what='{}'])", text::keys::API_KEY_ID);
    dialog.query_selector(&selector).is_ok_and(|copied| copied.is_some())
}

async fn copy_text(element: &Element) -> Result<(), JsValue> {
    let clipboard = window().navigator().clipboard();
    let value = element.text_content().unwrap_or_default();
    if !clipboard.is_undefined() && JsFuture::from(clipboard.write_text(&value)).await.is_ok() {
        return Ok(());
    }
    let document: HtmlDocument = document().unchecked_into();
    document.get_selection()?.ok_or(JsValue::NULL)?.select_all_children(element)?;
    if document.exec_command("copy")? { Ok(()) } else { Err(JsValue::NULL) }
}

/// Opens a dialog as a modal dialog. A dialog that the server rendered open keeps its focus and its entered values. If
/// the dialog is already modal, its content has changed: moves the focus to its heading, so that screen readers read it
/// from the start.
pub fn show_modal(dialog: &HtmlDialogElement) {
    if dialog.matches(":modal").unwrap_or(false) {
        focus(heading(dialog.clone().into()));
        return;
    }
    let focused = document().active_element().filter(|element| dialog.contains(Some(element)));
    // Removing the attribute hides the dialog without a `close` event.
    let _ = dialog.remove_attribute("open");
    if dialog.show_modal().is_ok() {
        focus(focused);
    }
    // The server rendered the page behind the dialog as inert. A modal dialog makes it inert without the attribute.
    while let Ok(Some(element)) = document().query_selector("[inert]") {
        let _ = element.remove_attribute("inert");
    }
}

/// The heading of a dialog.
#[must_use]
pub fn heading(dialog: Element) -> Option<Element> {
    dialog.query_selector("h2").ok().flatten()
}

/// Restores the focus if it was lost: focuses the element with this id, or `#content` if there is none.
pub fn keep_focus(id: &str) {
    if document().active_element().is_none_or(|element| element.tag_name() == "BODY") {
        let element = document().get_element_by_id(id);
        focus(element.or_else(|| document().get_element_by_id("content")));
    }
}

/// Whether the element that matches `part` contains the focus or an open menu.
#[must_use]
pub fn is_in_use(part: &str) -> bool {
    let selector = format!("{part} :is(:focus, :popover-open)");
    document().query_selector(&selector).is_ok_and(|element| element.is_some())
}

/// Focuses an element, if there is one.
pub fn focus(element: Option<Element>) {
    if let Some(element) = element {
        let _ = element.unchecked_into::<HtmlElement>().focus();
    }
}

/// Replaces the URL of an action or a dialog with the URL of the page, so that a reload requests the page and repeats
/// no action.
pub fn show_address(path: &str) {
    if let Ok(history) = window().history() {
        let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(path));
    }
}

/// Fetches the HTML fragment at the URL in the attribute [`SOURCE`] of an element, and inserts it into the element. On
/// an error, the element stays unchanged.
pub async fn fill(element: &Element) {
    let source = element.get_attribute(SOURCE).unwrap_or_default();
    if let Ok(html) = fetch_text(&source).await {
        element.set_inner_html(&html);
    }
}

/// The attribute with the URL of an HTML fragment.
pub const SOURCE: &str = "data-source";

async fn fetch_text(path: &str) -> Result<String, JsValue> {
    let response: Response = JsFuture::from(window().fetch_with_str(path)).await?.unchecked_into();
    let text = JsFuture::from(response.text()?).await?;
    if response.ok() { Ok(text.as_string().unwrap_or_default()) } else { Err(text) }
}

/// Prepares a subscription to server-sent events. Returns a function that connects; each further call reconnects, with
/// the URL that `url` returns at that time. `on_message` receives the data of each event.
///
/// The connection is open only while the page is visible, because browsers limit the number of connections per server.
/// When a stream ends, the next connection is opened when the page becomes visible again. A page in the background
/// therefore does not keep its session alive.
pub fn listen(
    url: impl Fn() -> String + Clone + 'static,
    on_message: impl Fn(&str) + 'static,
) -> impl Fn() + Clone + 'static {
    let on_message = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
        on_message(&event.data().as_string().unwrap_or_default());
    });
    let on_message: Function = on_message.into_js_value().unchecked_into();
    let source = Rc::<RefCell<Option<EventSource>>>::default();
    let connect = move || {
        if let Some(previous) = source.borrow_mut().take() {
            previous.close();
        }
        if document().visibility_state() != VisibilityState::Visible {
            return;
        }
        if let Ok(new) = EventSource::new(&url()) {
            new.set_onmessage(Some(&on_message));
            let ended = new.clone();
            new.set_onerror(Some(Closure::once_into_js(move || ended.close()).unchecked_ref()));
            *source.borrow_mut() = Some(new);
        }
    };
    let on_visibility_change = Closure::<dyn Fn()>::new(connect.clone()).into_js_value();
    let _ =
        document().add_event_listener_with_callback("visibilitychange", on_visibility_change.unchecked_ref());
    connect
}

/// Converts the tooltip of a `<time>` element to the browser's time zone and language when the pointer enters it.
pub fn localise_moments() {
    window_event_listener(ev::pointerover, |event| {
        let target: Option<Element> = event.target().map(JsCast::unchecked_into);
        let Some(time) = target.filter(|target| target.tag_name() == "TIME") else { return };
        let at = js_sys::Date::new(&time.get_attribute("datetime").into());
        let _ =
            time.set_attribute("title", &String::from(at.to_locale_string("default", &JsValue::UNDEFINED)));
    });
}
