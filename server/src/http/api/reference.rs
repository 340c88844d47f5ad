//! The description of the operations, for people to read: the page is made from the very document that
//! programs get.

use crate::http::api::{description, requirement};
use app::backend::Operation;
use serde_json::Value;

/// All operations, in the order of the description. One that takes several methods is the same with each.
#[must_use]
pub fn operations() -> Vec<Operation> {
    let Ok(document) = serde_json::to_value(description()) else { return Vec::new() };
    let bearer = serde_json::to_value(requirement(&["bearer"])).unwrap_or_default();
    let mut operations = Vec::new();
    for (path, methods) in members(&document, "/paths") {
        let is_any = members(methods, "").count() > 1;
        for (method, operation) in members(methods, "").take(1) {
            operations.push(Operation {
                method: if is_any { "ANY".to_owned() } else { method.to_uppercase() },
                path: path.clone(),
                title: text(operation, "/summary"),
                description: text(operation, "/description"),
                is_open_to_keys: items(operation, "/security").any(|way| *way == bearer),
                parameters: items(operation, "/parameters")
                    .map(|parameter| (text(parameter, "/name"), text(parameter, "/description")))
                    .collect(),
                members: answer_members(&document, operation),
                answers: members(operation, "/responses")
                    .map(|(status, response)| (status.clone(), text(response, "/description")))
                    .collect(),
            });
        }
    }
    operations
}

/// The members of the object, or of each object in the list, that is answered with 200.
fn answer_members(document: &Value, operation: &Value) -> Vec<(String, String)> {
    let schema = operation.pointer("/responses/200/content/application~1json/schema");
    let schema = schema.map(|schema| schema.get("items").unwrap_or(schema));
    let name = schema.and_then(|schema| schema.get("$ref")).and_then(Value::as_str);
    let schema = name.and_then(|name| document.pointer(name.trim_start_matches('#')));
    schema
        .into_iter()
        .flat_map(|schema| members(schema, "/properties"))
        .map(|(name, property)| (name.clone(), text(property, "/description")))
        .collect()
}

fn members<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = (&'v String, &'v Value)> + use<'v> {
    value.pointer(pointer).and_then(Value::as_object).into_iter().flatten()
}

fn items<'v>(value: &'v Value, pointer: &str) -> impl Iterator<Item = &'v Value> + use<'v> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}
