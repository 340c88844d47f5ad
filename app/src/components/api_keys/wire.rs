//! The state of the page as it comes to the browser: JSON that the server writes with serde, parsed by the
//! browser itself and read here member by member.
//!
//! `JSON.parse` is there already. Read with serde, these few types made the WebAssembly 26 kB larger (brotli),
//! a quarter of the page, than with these accessors. Each is named as the member of the
//! Rust type that the server writes.

use crate::domain::api_key::{ApiKey, KeyId, KeyList, NewSecret, OldSecret};
use crate::domain::timestamp::Timestamp;
use crate::error::Refusal;
use crate::submission::{Page, Typed};
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
    fn description(this: &JsKey) -> String;
    #[wasm_bindgen(method, getter)]
    fn last_four(this: &JsKey) -> String;
    #[wasm_bindgen(method, getter)]
    fn created_at(this: &JsKey) -> f64;
    #[wasm_bindgen(method, getter)]
    fn expires_at(this: &JsKey) -> Option<f64>;
    #[wasm_bindgen(method, getter)]
    fn last_used_at(this: &JsKey) -> Option<f64>;
    #[wasm_bindgen(method, getter)]
    fn last_used_from(this: &JsKey) -> Option<String>;
    #[wasm_bindgen(method, getter)]
    fn active(this: &JsKey) -> bool;

    #[wasm_bindgen(method, getter)]
    fn old(this: &JsKey) -> Option<JsOldSecret>;

    type JsOldSecret;
    #[wasm_bindgen(method, getter)]
    fn last_four(this: &JsOldSecret) -> String;
    #[wasm_bindgen(method, getter)]
    fn until(this: &JsOldSecret) -> f64;
    #[wasm_bindgen(method, getter)]
    fn ends_on_use(this: &JsOldSecret) -> bool;

    type JsEvent;
    #[wasm_bindgen(method, getter)]
    fn key_id(this: &JsEvent) -> String;
    #[wasm_bindgen(method, getter)]
    fn is_use(this: &JsEvent) -> bool;
    #[wasm_bindgen(method, getter)]
    fn program(this: &JsEvent) -> String;
    #[wasm_bindgen(method, getter)]
    fn first_request(this: &JsEvent) -> String;

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

/// The state that came with the page.
pub(super) fn page(json: &str) -> Option<Page> {
    let page: JsPage = js_sys::JSON::parse(json).ok()?.unchecked_into();
    Some(Page {
        list: key_list(&page.list()),
        origin: page.origin(),
        dialog: page.dialog(),
        key_id: page.key_id(),
        typed: Typed(pairs(&page.typed())),
        refusal: refusal_of(&page.refusal()),
        done: page.done(),
    })
}

/// The state that an action answered with, or why it was refused.
pub(super) fn answer(is_ok: bool, json: &JsValue) -> Result<KeyList, Refusal> {
    if is_ok { Ok(key_list(json.unchecked_ref())) } else { Err(refusal_of(json.unchecked_ref())) }
}

/// What has just happened to a key.
pub(super) struct Happened {
    pub(super) key: KeyId,
    /// Whether it was let in.
    pub(super) is_use: bool,
    pub(super) program: String,
    /// For the dialog that shows the new secret.
    pub(super) first_request: String,
}

/// The data of a server-sent event.
pub(super) fn event(json: &str) -> Option<Happened> {
    let event: JsEvent = js_sys::JSON::parse(json).ok()?.unchecked_into();
    Some(Happened {
        key: KeyId::parse(&event.key_id())?,
        is_use: event.is_use(),
        program: event.program(),
        first_request: event.first_request(),
    })
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

fn key(key: &JsKey) -> Option<ApiKey> {
    Some(ApiKey {
        id: KeyId::parse(&key.id())?,
        name: key.name(),
        description: key.description(),
        last_four: key.last_four(),
        old: key.old().map(|old| OldSecret {
            last_four: old.last_four(),
            until: moment(old.until()),
            ends_on_use: old.ends_on_use(),
        }),
        created_at: moment(key.created_at()),
        expires_at: key.expires_at().map(moment),
        last_used_at: key.last_used_at().map(moment),
        last_used_from: key.last_used_from(),
        active: key.active(),
    })
}

fn refusal_of(refusal: &JsRefusal) -> Refusal {
    let fields = refusal.fields().map(|fields| pairs(&fields)).unwrap_or_default();
    match refusal.detail() {
        Some(detail) => Refusal { detail, fields, ..Refusal::default() },
        // Whatever answered, it was not the action.
        None => Refusal::unreachable(),
    }
}

fn pairs(pairs: &[JsPair]) -> Vec<(String, String)> {
    pairs.iter().map(|pair| (pair.at(0), pair.at(1))).collect()
}

/// JavaScript's numbers are exact for every millisecond of the next 285,000 years.
fn moment(milliseconds: f64) -> Timestamp {
    Timestamp(milliseconds as i64)
}
