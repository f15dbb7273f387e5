//! Fields against the schema of their kind.

use std::collections::BTreeMap;

use dcanary_core::problem::suggestion;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::Value;

use super::{
    Mistake,
    place::{Node, Shape},
};

/// Unknown fields, missing fields and values of a wrong type.
pub fn check(document: &Node, crd: &CustomResourceDefinition) -> Vec<Mistake> {
    let version = crd.spec.versions.first();
    let schema = version
        .and_then(|version| version.schema.as_ref())
        .and_then(|schema| schema.open_api_v3_schema.as_ref());
    let mut mistakes = Vec::new();
    let Some(properties) = schema.and_then(|schema| schema.properties.as_ref()) else {
        return mistakes;
    };
    let Shape::Fields(fields) = &document.shape else {
        return mistakes;
    };
    // The frame is Kubernetes' own; its metadata is left to the API server.
    let mut known: BTreeMap<&str, Option<&JSONSchemaProps>> = ["apiVersion", "kind", "metadata"]
        .into_iter()
        .map(|name| (name, None))
        .collect();
    known.extend(
        properties
            .iter()
            .filter(|(name, _)| *name != "metadata")
            .map(|(name, inner)| (name.as_str(), Some(inner))),
    );
    for (name, place, value) in fields {
        match known.get(name.as_str()) {
            Some(Some(inner)) => walk(value, inner, name, &mut mistakes),
            Some(None) => {}
            None => mistakes.push(unknown(name, "the object", known.keys().copied(), *place)),
        }
    }
    mistakes
}

fn unknown<'a>(
    name: &str,
    parent: &str,
    known: impl IntoIterator<Item = &'a str>,
    place: super::Place,
) -> Mistake {
    let near = suggestion(name, known);
    Mistake {
        place,
        message: format!("unknown field `{name}` in {parent}{near}"),
    }
}

fn walk(node: &Node, schema: &JSONSchemaProps, path: &str, mistakes: &mut Vec<Mistake>) {
    if schema.x_kubernetes_preserve_unknown_fields == Some(true)
        || schema.x_kubernetes_int_or_string == Some(true)
    {
        return;
    }
    match (&node.shape, schema.type_.as_deref()) {
        (Shape::Fields(fields), Some("object") | None) => {
            let properties = schema.properties.as_ref();
            let additional = match schema.additional_properties.as_ref() {
                Some(JSONSchemaPropsOrBool::Schema(inner)) => Some(inner.as_ref()),
                _ => None,
            };
            for (name, place, value) in fields {
                let inner_path = format!("{path}.{name}");
                match (properties.and_then(|known| known.get(name)), additional) {
                    (Some(inner), _) | (None, Some(inner)) => walk(value, inner, &inner_path, mistakes),
                    (None, None) => {
                        let known = properties
                            .into_iter()
                            .flat_map(|known| known.keys().map(String::as_str));
                        mistakes.push(unknown(name, &format!("`{path}`"), known, *place));
                    }
                }
            }
            for name in schema.required.iter().flatten() {
                if !fields.iter().any(|(found, _, _)| found == name) {
                    let message = format!("`{path}` lacks `{name}`");
                    mistakes.push(Mistake {
                        place: node.place,
                        message,
                    });
                }
            }
        }
        (Shape::List(items), Some("array")) => {
            if let Some(JSONSchemaPropsOrArray::Schema(inner)) = &schema.items {
                for (i, item) in items.iter().enumerate() {
                    walk(item, inner, &format!("{path}[{i}]"), mistakes);
                }
            }
        }
        (Shape::Scalar(Value::Null), _) => {}
        (shape, Some(wanted)) if !fits(shape, wanted) => {
            let message = format!("`{path}` must be {}, found {}", article(wanted), kind(shape));
            mistakes.push(Mistake {
                place: node.place,
                message,
            });
        }
        (Shape::Scalar(value), _) => choose(value, schema, path, node, mistakes),
        _ => {}
    }
}

/// Values of a closed list.
fn choose(value: &Value, schema: &JSONSchemaProps, path: &str, node: &Node, mistakes: &mut Vec<Mistake>) {
    let Some(allowed) = &schema.enum_ else { return };
    if allowed.iter().any(|one| one.0 == *value) {
        return;
    }
    let words: Vec<&str> = allowed.iter().filter_map(|one| one.0.as_str()).collect();
    let near = suggestion(value.as_str().unwrap_or_default(), words.iter().copied());
    let message = format!("`{path}` must be one of {}{near}", words.join(", "));
    mistakes.push(Mistake {
        place: node.place,
        message,
    });
}

fn fits(shape: &Shape, wanted: &str) -> bool {
    match (shape, wanted) {
        (Shape::Fields(_), "object")
        | (Shape::List(_), "array")
        | (Shape::Scalar(Value::String(_)), "string")
        | (Shape::Scalar(Value::Bool(_)), "boolean")
        | (Shape::Scalar(Value::Number(_)), "number") => true,
        (Shape::Scalar(Value::Number(number)), "integer") => number.is_i64() || number.is_u64(),
        _ => false,
    }
}

fn article(wanted: &str) -> &'static str {
    match wanted {
        "object" => "fields",
        "array" => "a list",
        "string" => "text (put it in quotes)",
        "boolean" => "true or false",
        "integer" => "a whole number",
        _ => "a number",
    }
}

fn kind(shape: &Shape) -> &'static str {
    match shape {
        Shape::Fields(_) => "fields",
        Shape::List(_) => "a list",
        Shape::Scalar(Value::String(_)) => "text",
        Shape::Scalar(Value::Bool(_)) => "true or false",
        Shape::Scalar(Value::Number(_)) => "a number",
        Shape::Scalar(_) => "nothing",
    }
}
