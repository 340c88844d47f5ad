//! Deserializes the state of the page in the browser. The server serializes it as JSON with serde; here, `JSON.parse`
//! parses it, and getters read its members.
//!
//! This avoids serde in the browser: for these few types, serde makes the WebAssembly 26 kB larger (brotli), which is a
//! quarter of the page. Each getter has the name of the member that the server serializes.

use crate::domain::api_key::{ApiKey, KeyId, KeyList, NewSecret, OldSecret};
use crate::domain::timestamp::Timestamp;
use crate::view::refusal::Refusal;
use crate::view::submission::{FormValues, Page};
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    type JsPage;
    #[wasm_bindgen(method, getter)]
    fn list(this: &JsPage) -> JsKeyList;
    #[wasm_bindgen(method, getter)]
    fn origin(this: &JsPage) -> String;
    #[wasm_bindgen(method, getter)]
    fn dialog(this: &JsPage) -> String;
    #[wasm_bindgen(method, getter)]
    fn key_id(this: &JsPage) -> String;
    #[wasm_bindgen(method, getter)]
    fn typed(this: &JsPage) -> Vec<JsPair>;
    #[wasm_bindgen(method, getter)]
    fn refusal(this: &JsPage) -> JsRefusal;
    #[wasm_bindgen(method, getter)]
    fn done(this: &JsPage) -> String;

    type JsKeyList;
    #[wasm_bindgen(method, getter)]
    fn now(this: &JsKeyList) -> f64;
    #[wasm_bindgen(method, getter)]
    fn keys(this: &JsKeyList) -> Vec<JsKey>;
    #[wasm_bindgen(method, getter)]
    fn new(this: &JsKeyList) -> Option<JsNewSecret>;

    type JsKey;
    #[wasm_bindgen(method, getter)]
    fn id(this: &JsKey) -> String;
    #[wasm_bindgen(method, getter)]
    fn name(this: &JsKey) -> String;
    #[wasm_bindgen(method, getter)]
    fn expires_at(this: &JsKey) -> Option<f64>;
    #[wasm_bindgen(method, getter)]
    fn old(this: &JsKey) -> Option<JsOldSecret>;
    #[wasm_bindgen(method, getter)]
    fn html(this: &JsKey) -> Option<String>;

    type JsOldSecret;
    #[wasm_bindgen(method, getter)]
    fn until(this: &JsOldSecret) -> f64;

    type JsEvent;
    #[wasm_bindgen(method, getter)]
    fn key_id(this: &JsEvent) -> String;
    #[wasm_bindgen(method, getter)]
    fn first_request(this: &JsEvent) -> String;
    #[wasm_bindgen(method, getter)]
    fn list(this: &JsEvent) -> JsKeyList;

    type JsNewSecret;
    #[wasm_bindgen(method, getter)]
    fn id(this: &JsNewSecret) -> String;
    #[wasm_bindgen(method, getter)]
    fn secret(this: &JsNewSecret) -> String;

    type JsRefusal;
    #[wasm_bindgen(method, getter)]
    fn detail(this: &JsRefusal) -> Option<String>;
    #[wasm_bindgen(method, getter)]
    fn fields(this: &JsRefusal) -> Option<Vec<JsPair>>;

    type JsPair;
    #[wasm_bindgen(method, indexing_getter)]
    fn at(this: &JsPair, index: u32) -> String;
}

/// Parses the initial state of the page; `None` if it is not JSON.
pub(super) fn page(json: &str) -> Option<Page> {
    let page: JsPage = js_sys::JSON::parse(json).ok()?.unchecked_into();
    Some(Page {
        list: key_list(&page.list()),
        origin: page.origin(),
        dialog: page.dialog(),
        key_id: page.key_id(),
        typed: FormValues(pairs(&page.typed())),
        refusal: refusal_of(&page.refusal()),
        done: page.done(),
    })
}

/// Reads the response of a server function: the new state, or the error.
pub(super) fn answer(is_ok: bool, json: &JsValue) -> Result<KeyList, Refusal> {
    if is_ok { Ok(key_list(json.unchecked_ref())) } else { Err(refusal_of(json.unchecked_ref())) }
}

/// The data of a server-sent event.
pub(super) struct Happened {
    /// The key of an allowed or denied request; empty if the event only updates the list.
    pub(super) key_id: String,
    /// Message about a request with the new secret, for the dialog that shows it; may be empty.
    pub(super) first_request: String,
    /// All keys, as they are now.
    pub(super) list: KeyList,
}

/// Parses the data of a server-sent event; `None` if it is not JSON.
pub(super) fn event(json: &str) -> Option<Happened> {
    let event: JsEvent = js_sys::JSON::parse(json).ok()?.unchecked_into();
    let (key_id, first_request) = (event.key_id(), event.first_request());
    Some(Happened { key_id, first_request, list: key_list(&event.list()) })
}

fn key_list(list: &JsKeyList) -> KeyList {
    KeyList {
        now: moment(list.now()),
        keys: list.keys().iter().filter_map(key).collect(),
        new: list
            .new()
            .and_then(|new| Some(NewSecret { id: KeyId::parse(&new.id())?, secret: new.secret() })),
    }
}

/// Reads the members of a key that the dialogs need, and its rendered row. The other fields stay empty.
fn key(key: &JsKey) -> Option<ApiKey> {
    let (last_four, description) = (String::new(), String::new());
    Some(ApiKey {
        id: KeyId::parse(&key.id())?,
        name: key.name(),
        description,
        last_four: last_four.clone(),
        old: key.old().map(|old| OldSecret { last_four, until: moment(old.until()), ends_on_use: false }),
        created_at: Timestamp::default(),
        expires_at: key.expires_at().map(moment),
        last_used_at: None,
        last_used_from: None,
        active: true,
        html: key.html().unwrap_or_default(),
    })
}

fn refusal_of(refusal: &JsRefusal) -> Refusal {
    let fields = refusal.fields().map(|fields| pairs(&fields)).unwrap_or_default();
    match refusal.detail() {
        Some(detail) => Refusal { detail, fields, ..Refusal::default() },
        // The response does not come from a server function, for example from a proxy.
        None => Refusal::unreachable(),
    }
}

fn pairs(pairs: &[JsPair]) -> Vec<(String, String)> {
    pairs.iter().map(|pair| (pair.at(0), pair.at(1))).collect()
}

/// Converts a JavaScript number. It is exact for every millisecond of the next 285,000 years.
fn moment(milliseconds: f64) -> Timestamp {
    Timestamp(milliseconds as i64)
}
