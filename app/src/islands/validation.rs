//! Validation of forms while they are edited, with the same rules as on the server.

use super::dom;
use crate::domain::description::Description;
use crate::domain::field_error::FieldError;
use crate::domain::key_name::KeyName;
use crate::text;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlButtonElement, HtmlInputElement};

/// From this number of characters on, the count is announced.
const NEARLY_FULL: usize = Description::MAX - 20;

/// Handles edits of all fields.
pub(super) fn enable() {
    dom::on_document("input", |event| {
        if let Some(control) = dom::target(&event, "dialog [name]") {
            edited(&control);
        }
    });
    dom::on_document("focusin", |event| {
        // Selects the suggested name, so that typing replaces it.
        if let Some(field) = dom::target(&event, "[data-select]") {
            dom::toggle(&field, "data-select", false);
            let field: HtmlInputElement = field.unchecked_into();
            // It may have been changed before this script was loaded.
            if field.value() == field.default_value() {
                field.select();
            }
        }
    });
}

/// Prepares the form of a dialog: without a script, nothing could enable the button.
pub(super) fn prepare(dialog: &Element) {
    if let Some(name) = dom::find_in(dialog, "[name=confirm_name]") {
        edited(&name);
    }
    if let Some(description) = dom::find_in(dialog, "[name=description]") {
        edited(&description);
    }
}

fn edited(control: &Element) {
    // Select and textarea elements have the same `name` and `value` properties as inputs.
    let input: &HtmlInputElement = control.unchecked_ref();
    let value = input.value();
    match input.name().as_str() {
        "name" => show_error("name", KeyName::parse(&value).err()),
        "mecha_name" => show_error("mecha_name", KeyName::parse(&value).err()),
        "description" => {
            show_error("description", Description::parse(&value).err());
            let length = Description::length(&value);
            let is_over = length > Description::MAX;
            show_hint("description", &text::character_count(length, Description::MAX), is_over);
            if length >= NEARLY_FULL {
                dom::announce(&text::characters_left(length, Description::MAX));
            }
        }
        "confirm_name" => {
            let Some(form) = control.closest("form").ok().flatten() else { return };
            let is_confirmed = KeyName::is_reentered(&dom::attribute(&form, "data-reenter"), &value);
            if let Some(button) = dom::find_in(&form, "[data-danger]") {
                button.unchecked_into::<HtmlButtonElement>().set_disabled(!is_confirmed);
            }
            if is_confirmed {
                show_error("confirm_name", None);
            }
        }
        name => {
            show_error(name, None);
            let Some(choice) = dom::find_in(control, "option:checked") else { return };
            let hint = dom::attribute(&choice, "data-hint");
            show_hint(name, &hint, choice.has_attribute("data-warning"));
        }
    }
}

/// Updates the error of a field while it is edited, or removes it once the value is valid. A field that had no error is
/// not marked before the form is submitted.
fn show_error(name: &str, error: Option<FieldError>) {
    let Some(place) = dom::find(&format!("dialog #{name}-error")) else { return };
    match error {
        Some(error) => {
            if let Some(shown) = dom::find_in(&place, "span") {
                shown.set_text_content(Some(&text::text_problem(error)));
            }
        }
        None => {
            place.set_text_content(None);
            // Of several checkboxes, the first is marked.
            if let Some(control) = dom::find(&format!("dialog [name={name}]")) {
                dom::set(&control, "aria-invalid", "false");
            }
        }
    }
}

fn show_hint(name: &str, hint: &str, is_warning: bool) {
    if let Some(place) = dom::find(&format!("dialog #{name}-hint")) {
        place.set_text_content(Some(hint));
        dom::toggle(&place, "data-warning", is_warning);
    }
}
