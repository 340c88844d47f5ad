//! What the browser runs: the islands of the page come alive. Everything else is in `app`.

// The islands export themselves; naming the crate keeps the linker from leaving them out.
use app as _;
use wasm_bindgen::prelude::wasm_bindgen;

/// Called by the page's own script once this module is there.
#[wasm_bindgen]
pub fn hydrate() {
    leptos::mount::hydrate_islands();
}
