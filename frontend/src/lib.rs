//! The WebAssembly module of the browser. It hydrates the islands; all components are in `app`.

// Links `app`, so that the exported hydration functions of its islands are part of the module.
use app as _;
use wasm_bindgen::prelude::wasm_bindgen;

/// Hydrates all islands of the page. The script that Leptos renders into the page calls it after loading the module.
#[wasm_bindgen]
pub fn hydrate() {
    leptos::mount::hydrate_islands();
}
