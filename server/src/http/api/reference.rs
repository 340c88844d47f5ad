//! The operations of the API, for the page that lists them. They are read from the OpenAPI document that clients get.

use super::openapi::{description, requirement};
use app::backend::Operation;
use serde_json::Value;

/// All operations, in the order of the OpenAPI document. One with several methods is listed once, with the method
/// `ANY`.
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
                is_open_to_keys: items(operation, "/security").any(|scheme| *scheme == bearer),
                parameters: items(operation, "/parameters")
                    .map(|parameter| (text(parameter, "/name"), text(parameter, "/description")))
                    .collect(),
                members: response_members(&document, operation),
                response: response_example(operation),
                answers: members(operation, "/responses")
                    .map(|(status, response)| (status.clone(), text(response, "/description")))
                    .collect(),
            });
        }
    }
    operations
}

/// The members of the object in the 200 response, or of each object in its list: name and description.
fn response_members(document: &Value, operation: &Value) -> Vec<(String, String)> {
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

/// The JSON in the example of the 200 response, or the example of a response without a body.
fn response_example(operation: &Value) -> String {
    match operation.pointer("/responses/200/content/application~1json/example") {
        Some(body) => serde_json::to_string_pretty(body).unwrap_or_default(),
        None => text(operation, "/x-response-example"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_an_example_of_its_response() {
        for operation in operations() {
            assert!(!operation.response.is_empty(), "{}", operation.path);
            for (name, _) in operation.members {
                assert!(operation.response.contains(&format!("\"{name}\":")), "{}: {name}", operation.path);
            }
        }
    }
}
