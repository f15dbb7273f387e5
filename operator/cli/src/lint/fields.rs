//! Fields against the schema of their kind.

use std::collections::BTreeMap;

use dcanary_crds::duration;

use dcanary_core::problem::suggestion;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::{Number, Value};

use super::{
    Mistake, limits,
    place::{Node, Place, Shape, TEMPLATED},
    words,
};

/// What was found against a schema.
#[derive(Debug, Default)]
pub struct Found {
    /// Unknown and missing fields, and values of a wrong type.
    pub wrong: Vec<Mistake>,
    /// Values beyond a limit, which the operator may judge in better words.
    pub beyond: Vec<Mistake>,
    /// What to read in the place of wrong values, so that the rest can be judged: nothing, or what was meant.
    pub instead: BTreeMap<Place, Option<Value>>,
}

/// The schema of the only version of a kind.
pub fn schema(crd: &CustomResourceDefinition) -> Option<&JSONSchemaProps> {
    let version = crd.spec.versions.first();
    version?.schema.as_ref()?.open_api_v3_schema.as_ref()
}

/// Unknown fields, missing fields, values of a wrong type and beyond a limit.
pub fn check(document: &Node, crd: &CustomResourceDefinition) -> Found {
    let mut found = Found::default();
    let Some(properties) = schema(crd).and_then(|schema| schema.properties.as_ref()) else {
        return found;
    };
    let Shape::Fields(fields) = &document.shape else {
        return found;
    };
    // The frame is Kubernetes' own: `frame` looks at the name, and the rest of it is left to the API server.
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
            Some(Some(inner)) => walk(value, inner, name, &mut found),
            Some(None) => {}
            None => found
                .wrong
                .push(unknown(name, "the object", known.keys().copied(), *place)),
        }
    }
    for name in schema(crd)
        .and_then(|schema| schema.required.as_ref())
        .into_iter()
        .flatten()
    {
        if !fields.iter().any(|(given, _, _)| given == name) {
            let message = format!("the object lacks `{name}`");
            found.wrong.push(Mistake {
                place: document.place,
                message,
            });
        }
    }
    found
}

fn unknown<'a>(
    name: &str,
    parent: &str,
    known: impl IntoIterator<Item = &'a str>,
    place: super::Place,
) -> Mistake {
    let near = match name {
        "true" | "false" => {
            "; a name such as on, y or no is read as true or false: put it in quotes".to_owned()
        }
        TEMPLATED => words::TEMPLATE.to_owned(),
        _ => {
            let known: Vec<&str> = known.into_iter().collect();
            words::of_others(name, &known).unwrap_or_else(|| suggestion(name, known))
        }
    };
    Mistake {
        place,
        message: format!("unknown field `{name}` in {parent}{near}"),
    }
}

fn walk(node: &Node, schema: &JSONSchemaProps, path: &str, found: &mut Found) {
    if schema.x_kubernetes_preserve_unknown_fields == Some(true)
        || schema.x_kubernetes_int_or_string == Some(true)
    {
        return;
    }
    let beyond = limits::check(node, schema);
    if !beyond.is_empty() && is_parsed(schema) {
        found.instead.insert(node.place, None);
    }
    found
        .beyond
        .extend(beyond.into_iter().map(|(place, said)| Mistake {
            place,
            message: format!("`{path}` {said}"),
        }));
    match (&node.shape, schema.type_.as_deref()) {
        (Shape::Fields(fields), Some("object") | None) => {
            let properties = schema.properties.as_ref();
            let additional = match schema.additional_properties.as_ref() {
                Some(JSONSchemaPropsOrBool::Schema(inner)) => Some(inner.as_ref()),
                _ => None,
            };
            for (name, place, value) in fields {
                let inner_path = format!("{path}.{name}");
                let inner_schema = properties.and_then(|known| known.get(name)).or(additional);
                if inner_schema.is_some_and(|inner| is_pruned(value, inner)) {
                    found.instead.insert(value.place, None);
                    continue;
                }
                match (properties.and_then(|known| known.get(name)), additional) {
                    (Some(inner), _) | (None, Some(inner)) => walk(value, inner, &inner_path, found),
                    (None, None) => {
                        let known = properties
                            .into_iter()
                            .flat_map(|known| known.keys().map(String::as_str));
                        let mistake = unknown(name, &format!("`{path}`"), known, *place);
                        found.wrong.push(mistake);
                    }
                }
            }
            for name in schema.required.iter().flatten() {
                let is_given = |value: &Node| {
                    let inner = properties.and_then(|known| known.get(name));
                    !inner.is_some_and(|inner| is_pruned(value, inner))
                };
                if !fields
                    .iter()
                    .any(|(given, _, value)| given == name && is_given(value))
                {
                    let message = format!("`{path}` lacks `{name}`");
                    found.wrong.push(Mistake {
                        place: node.place,
                        message,
                    });
                }
            }
        }
        (Shape::List(items), Some("array")) => {
            if let Some(JSONSchemaPropsOrArray::Schema(inner)) = &schema.items {
                for (i, item) in items.iter().enumerate() {
                    walk(item, inner, &format!("{path}[{i}]"), found);
                }
            }
        }
        (Shape::Scalar(Value::Null), _) if schema.nullable == Some(true) => {}
        (shape, Some(wanted)) if !fits(shape, wanted) => {
            let message = format!("`{path}` must be {}, found {}", article(wanted), kind(shape));
            found.wrong.push(Mistake {
                place: node.place,
                message,
            });
            found.instead.insert(node.place, meant(shape, schema));
        }
        (Shape::Scalar(value), wanted) => {
            // kubectl sends `5.0` as 5
            if let (Value::Number(number), Some("integer")) = (value, wanted)
                && number.is_f64()
            {
                found.instead.insert(node.place, whole(number));
            }
            choose(value, schema, path, node, found);
        }
        _ => {}
    }
}

/// Whether the API server takes it for a field that is not there: nothing, where nothing is no value.
fn is_pruned(node: &Node, schema: &JSONSchemaProps) -> bool {
    matches!(node.shape, Shape::Scalar(Value::Null)) && schema.nullable != Some(true)
}

/// Text that is read as something else: where it cannot be, nothing is read in its place.
fn is_parsed(schema: &JSONSchemaProps) -> bool {
    schema.pattern.as_deref() == Some(duration::PATTERN) || schema.format.as_deref() == Some("date-time")
}

/// Text without quotes that is a number or a truth value was meant as it is written.
fn meant(shape: &Shape, schema: &JSONSchemaProps) -> Option<Value> {
    match shape {
        Shape::Scalar(value @ (Value::Number(_) | Value::Bool(_)))
            if schema.type_.as_deref() == Some("string") && !is_parsed(schema) =>
        {
            Some(Value::String(value.to_string()))
        }
        _ => None,
    }
}

/// Values of a closed list.
fn choose(value: &Value, schema: &JSONSchemaProps, path: &str, node: &Node, found: &mut Found) {
    let Some(allowed) = &schema.enum_ else { return };
    if allowed.iter().any(|one| one.0 == *value) {
        return;
    }
    let words: Vec<&str> = allowed.iter().filter_map(|one| one.0.as_str()).collect();
    let near = suggestion(value.as_str().unwrap_or_default(), words.iter().copied());
    let message = format!("`{path}` must be one of {}{near}", words.join(", "));
    found.wrong.push(Mistake {
        place: node.place,
        message,
    });
    found.instead.insert(node.place, None);
}

fn fits(shape: &Shape, wanted: &str) -> bool {
    match (shape, wanted) {
        (Shape::Fields(_), "object")
        | (Shape::List(_), "array")
        | (Shape::Scalar(Value::String(_)), "string")
        | (Shape::Scalar(Value::Bool(_)), "boolean")
        | (Shape::Scalar(Value::Number(_)), "number") => true,
        (Shape::Scalar(Value::Number(number)), "integer") => whole(number).is_some(),
        _ => false,
    }
}

/// A number without a part behind the point.
fn whole(number: &Number) -> Option<Value> {
    if number.is_i64() || number.is_u64() {
        return Some(Value::Number(number.clone()));
    }
    // printed without a point and read again: no cast of a double that does not fit
    let text = number
        .as_f64()
        .filter(|number| number.fract() == 0.0)?
        .to_string();
    text.parse::<i64>().ok().map(Value::from)
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
