//! What the island asks of the browser itself.

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

/// Sends a form where it would be sent without a script, but asks for the answer instead of a page. So
/// the form is the one description of what is sent, with and without JavaScript.
///
/// Answers whether it was done, and the JSON of the answer.
///
/// # Errors
/// There was no answer, or it is not JSON.
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

/// The names and values of the fields within a dialog, as they stand now.
#[must_use]
pub fn fields(dialog: &Element) -> Vec<(String, String)> {
    let Ok(controls) = dialog.query_selector_all("[name]") else { return Vec::new() };
    (0..controls.length())
        .filter_map(|index| controls.get(index))
        .map(|control| {
            // Selects and text areas have a name and a value just as inputs do.
            let control: HtmlInputElement = control.unchecked_into();
            (control.name(), control.value())
        })
        .collect()
}

/// The nearest element around the one that an event was listened for on, or that element itself.
#[must_use]
pub fn closest<T: JsCast>(event: &Event, selector: &str) -> Option<T> {
    let element: Element = event.current_target()?.unchecked_into();
    element.closest(selector).ok()?.map(JsCast::unchecked_into)
}

/// Lets every copy button of the page copy, those that are still to come too.
pub fn serve_copy_buttons() {
    window_event_listener(ev::click, |event| {
        let target: Option<Element> = event.target().map(JsCast::unchecked_into);
        let button = target.and_then(|target| target.closest(".copy").ok().flatten());
        if let Some(place) = button.and_then(|button| button.parent_element()) {
            spawn_local(async move { copy_within(&place).await });
        }
    });
}

/// How long it is said that something was copied.
const SAID_FOR: Duration = Duration::from_secs(4);

/// The attribute that marks what has been copied.
pub const COPIED: &str = "data-copied";

/// Puts the text of the `code` element within `place` on the clipboard, and says in the live region there
/// what came of it. What was copied is marked with [`COPIED`].
///
/// The Clipboard API exists only where the page is encrypted or local. Elsewhere the text is selected
/// and copied as Ctrl+C would; if that is refused too, the selection stays, ready for Ctrl+C.
async fn copy_within(place: &Element) {
    let (Ok(Some(code)), Ok(Some(said))) =
        (place.query_selector("code"), place.query_selector("[role=status]"))
    else {
        return;
    };
    said.set_text_content(None);
    let is_copied = copy_text_of(&code).await.is_ok();
    said.set_text_content(Some(if is_copied { text::COPIED } else { text::COPY_FAILED }));
    if is_copied {
        let _ = place.set_attribute(COPIED, "");
        set_timeout(move || said.set_text_content(None), SAID_FOR);
    }
}

/// Whether the secret that a dialog shows was copied, by itself or within an example.
#[must_use]
pub fn has_copied_secret(dialog: &Element) -> bool {
    let others = format!("[{COPIED}]:not([data-what='{}'])", text::keys::API_KEY_ID);
    dialog.query_selector(&others).is_ok_and(|copied| copied.is_some())
}

async fn copy_text_of(element: &Element) -> Result<(), JsValue> {
    let clipboard = window().navigator().clipboard();
    let value = element.text_content().unwrap_or_default();
    if !clipboard.is_undefined() && JsFuture::from(clipboard.write_text(&value)).await.is_ok() {
        return Ok(());
    }
    let document: HtmlDocument = document().unchecked_into();
    document.get_selection()?.ok_or(JsValue::NULL)?.select_all_children(element)?;
    if document.exec_command("copy")? { Ok(()) } else { Err(JsValue::NULL) }
}

/// Shows a dialog so that nothing behind it can be reached. One that the server rendered open keeps its
/// focus and everything typed into it; one that is modal already, but shows something new, is read from
/// its beginning.
pub fn show_modal(dialog: &HtmlDialogElement) {
    if dialog.matches(":modal").unwrap_or(false) {
        focus(heading(dialog.clone().into()));
        return;
    }
    let focused = document().active_element().filter(|element| dialog.contains(Some(element)));
    // Taking the attribute away hides the dialog without the event that tells of its closing.
    let _ = dialog.remove_attribute("open");
    if dialog.show_modal().is_ok() {
        focus(focused);
    }
    // Where no script runs, what lies behind is inert by attribute; a modal dialog sees to it by itself.
    while let Ok(Some(element)) = document().query_selector("[inert]") {
        let _ = element.remove_attribute("inert");
    }
}

/// The heading of a dialog.
#[must_use]
pub fn heading(dialog: Element) -> Option<Element> {
    dialog.query_selector("h2").ok().flatten()
}

/// Where nothing has the focus any more, what has the id of what had it gets it; or else reading goes on at the
/// page's content.
pub fn keep_focus(id: &str) {
    if document().active_element().is_none_or(|element| element.tag_name() == "BODY") {
        let again = document().get_element_by_id(id);
        focus(again.or_else(|| document().get_element_by_id("content")));
    }
}

/// Whether a part of the page has the focus, or a menu open.
#[must_use]
pub fn is_in_use(part: &str) -> bool {
    let uses = format!("{part} :is(:focus, :popover-open)");
    document().query_selector(&uses).is_ok_and(|used| used.is_some())
}

/// Gives the focus to an element, if there is one.
pub fn focus(element: Option<Element>) {
    if let Some(element) = element {
        let _ = element.unchecked_into::<HtmlElement>().focus();
    }
}

/// Puts the address of the page itself in place of that of an action or a dialog, so that a reload asks
/// for the page and repeats nothing.
pub fn show_address(path: &str) {
    if let Ok(history) = window().history() {
        let _ = history.replace_state_with_url(&JsValue::NULL, "", Some(path));
    }
}

/// Puts into an empty element the piece of the page that its attribute [`SOURCE`] names.
pub async fn fill(place: &Element) {
    let source = place.get_attribute(SOURCE).unwrap_or_default();
    if let Ok(html) = text_of(&source).await {
        place.set_inner_html(&html);
    }
}

/// The attribute with the address of a piece of the page.
pub const SOURCE: &str = "data-source";

async fn text_of(path: &str) -> Result<String, JsValue> {
    let response: Response = JsFuture::from(window().fetch_with_str(path)).await?.unchecked_into();
    let text = JsFuture::from(response.text()?).await?;
    if response.ok() { Ok(text.as_string().unwrap_or_default()) } else { Err(text) }
}

/// Makes ready to hear server-sent events, and answers with what connects, again each time it is called. It hears
/// while the page can be seen: browsers allow few connections to one server. A stream that ends is taken up
/// again when the page is looked at again, so that a page that nobody looks at does not keep a session in use.
pub fn listen(
    address: impl Fn() -> String + Clone + 'static,
    hear: impl Fn(&str) + 'static,
) -> impl Fn() + Clone + 'static {
    let hear = Closure::<dyn Fn(MessageEvent)>::new(move |event: MessageEvent| {
        hear(&event.data().as_string().unwrap_or_default());
    });
    let hear: Function = hear.into_js_value().unchecked_into();
    let source = Rc::<RefCell<Option<EventSource>>>::default();
    let connect = move || {
        if let Some(old) = source.borrow_mut().take() {
            old.close();
        }
        if document().visibility_state() != VisibilityState::Visible {
            return;
        }
        if let Ok(new) = EventSource::new(&address()) {
            new.set_onmessage(Some(&hear));
            let ended = new.clone();
            new.set_onerror(Some(Closure::once_into_js(move || ended.close()).unchecked_ref()));
            *source.borrow_mut() = Some(new);
        }
    };
    let when_seen = Closure::<dyn Fn()>::new(connect.clone()).into_js_value();
    let _ = document().add_event_listener_with_callback("visibilitychange", when_seen.unchecked_ref());
    connect
}

/// Writes the moments of the page as their reader would, once somebody points at them.
pub fn localise_moments() {
    window_event_listener(ev::pointerover, |event| {
        let target: Option<Element> = event.target().map(JsCast::unchecked_into);
        let Some(time) = target.filter(|target| target.tag_name() == "TIME") else { return };
        let at = js_sys::Date::new(&time.get_attribute("datetime").into());
        let _ =
            time.set_attribute("title", &String::from(at.to_locale_string("default", &JsValue::UNDEFINED)));
    });
}
