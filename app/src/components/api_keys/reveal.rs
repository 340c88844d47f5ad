//! The view of a new secret: the only place where the console shows a secret.

use super::dialog::CloseButton;
use super::state::{Entry, State};
use crate::components::browser;
use crate::components::copyable::Copyable;
use crate::components::icon::Icon;
use crate::domain::api_key::ApiKey;
use crate::text::{self, keys};
use leptos::prelude::*;

/// Renders the key id, the new secret and the examples that contain it.
pub(super) fn reveal(state: State, key: &ApiKey, secret: &str, entry: &Entry) -> impl IntoView + use<> {
    let id = key.id.as_str();
    let origin = state.origin.get_value();
    let values = [
        (keys::API_KEY_ID, id.to_owned()),
        (keys::KEY_SECRET, secret.to_owned()),
        (keys::CURL, format!("curl -H \"Authorization: Bearer {secret}\" {origin}/api/v1/key")),
        (keys::ENV, format!("MECHA_API_KEY_ID={id}\nMECHA_API_KEY_SECRET={secret}")),
    ];
    let is_asking = entry.is_asking;
    let first_request =
        if entry.first_request.is_empty() { keys::WAITING.to_owned() } else { entry.first_request.clone() };
    view! {
        <p class="summary">
            <strong>{key.name.clone()}</strong>
            <span>{text::expires_on(key.expires_at)}</span>
        </p>
        <div class="notice">
            <Icon name="info" />
            <p>{keys::SAVE_NOW}</p>
        </div>
        {values
            .into_iter()
            .map(|(label, value)| {
                view! {
                    <div class="field">
                        <span class="label">{label}</span>
                        <Copyable what=label value />
                    </div>
                }
            })
            .collect_view()}
        <div class="dialog-act">
        <p class="first-request" role="status" hidden=!entry.is_live>
            <Icon name="clock" />
            {first_request}
        </p>
            <p class="error" role="alert">
                {is_asking.then_some(keys::CLOSE_WITHOUT_COPY)}
            </p>
            <button
                type="button"
                class="button quiet"
                hidden=!is_asking
                on:click=move |event| {
                    // The button is hidden now, so the focus moves to the heading above the values to copy.
                    browser::focus(browser::closest::<web_sys::Element>(&event, "dialog").and_then(browser::heading));
                    state.entry.update(|entry| entry.is_asking = false);
                }
            >
                {keys::GO_BACK}
            </button>
            <CloseButton state label=text::CLOSE />
        </div>
    }
}
