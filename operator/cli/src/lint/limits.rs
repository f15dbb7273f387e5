//! Limits of a schema: sizes, ranges, patterns and keys that may be there once.

use std::collections::BTreeSet;

use dcanary_crds::{Duration, duration};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use serde_json::Value;

use super::place::{Node, Place, Shape};

/// What is wrong with the size or form of a value: a place and what must hold of it, as the rest of a sentence that begins with the path.
pub fn check(node: &Node, schema: &JSONSchemaProps) -> Vec<(Place, String)> {
    match &node.shape {
        Shape::Scalar(Value::String(text)) => {
            Vec::from_iter(of_text(text, schema).map(|said| (node.place, said)))
        }
        Shape::Scalar(Value::Number(number)) => {
            let range = number.as_f64().and_then(|number| of_number(number, schema));
            Vec::from_iter(range.map(|said| (node.place, said)))
        }
        Shape::List(items) => {
            let mut found = keys(items, schema);
            let size = of_size(items.len(), schema.min_items, schema.max_items, "items");
            found.extend(size.map(|said| (node.place, said)));
            found
        }
        Shape::Fields(fields) => {
            let size = of_size(
                fields.len(),
                schema.min_properties,
                schema.max_properties,
                "entries",
            );
            Vec::from_iter(size.map(|said| (node.place, said)))
        }
        Shape::Scalar(_) => Vec::new(),
    }
}

fn of_text(text: &str, schema: &JSONSchemaProps) -> Option<String> {
    // the API server counts characters
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    if schema.min_length.is_some_and(|least| length < least) {
        return Some(match schema.min_length {
            Some(1) => "must not be empty".to_owned(),
            least => format!(
                "must have at least {} characters, found {length}",
                least.unwrap_or_default()
            ),
        });
    }
    if let Some(most) = schema.max_length
        && length > most
    {
        return Some(format!("must have at most {most} characters, found {length}"));
    }
    if let Some(pattern) = schema
        .pattern
        .as_deref()
        .filter(|pattern| !matches(pattern, text))
    {
        return Some(form(pattern, text));
    }
    let is_time = schema.format.as_deref() == Some("date-time");
    (is_time && text.parse::<jiff::Timestamp>().is_err())
        .then(|| format!("is `{text}`: write a time such as 2026-01-31T12:00:00Z"))
}

/// Whether a text fits a pattern of the schema; one that cannot be read refuses nothing, the API server tells.
fn matches(pattern: &str, text: &str) -> bool {
    regex::Regex::new(pattern).map_or(true, |pattern| pattern.is_match(text))
}

/// What to write instead of a text that does not fit.
fn form(pattern: &str, text: &str) -> String {
    if pattern == duration::PATTERN {
        let told = text.parse::<Duration>().err();
        return told.map_or_else(
            || format!("must fit {pattern}"),
            |told| format!("is wrong: {told}"),
        );
    }
    match words(pattern) {
        Some(words) => format!("is `{text}`: {words}"),
        None => format!("is `{text}`, which does not fit {pattern}"),
    }
}

/// Patterns of the schema in words.
pub(super) fn words(pattern: &str) -> Option<&'static str> {
    Some(match pattern {
        "^[A-Za-z_][A-Za-z0-9_]*$" => "use letters, digits and `_`, no digit first",
        "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$" => {
            "use small letters, digits and `-`, with a letter or digit first and last"
        }
        "^/" => "write a path that begins with `/`",
        "^([0-9a-f]{40}|[0-9a-f]{64})$" => {
            "write all 40 or 64 hex digits of the commit (git rev-parse COMMIT)"
        }
        "^sha256:[0-9a-f]{64}$" => "write a digest: sha256: and 64 hex digits",
        "^[0-9]{1,5}%?$" => "write a number such as 2, or a part of all such as 25%",
        "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$" => "write a name of an HTTP header or cookie, such as X-Tester",
        "^[A-Za-z0-9]([-A-Za-z0-9.]*[A-Za-z0-9])?$" => "write a host name, such as web.example.com",
        _ => return None,
    })
}

fn of_number(number: f64, schema: &JSONSchemaProps) -> Option<String> {
    let below = schema.minimum.is_some_and(|least| number < least);
    let above = schema.maximum.is_some_and(|most| number > most);
    if !below && !above {
        return None;
    }
    Some(match (schema.minimum, schema.maximum) {
        (Some(least), Some(most)) => format!("must be {least} to {most}, found {number}"),
        (Some(least), None) => format!("must be at least {least}, found {number}"),
        (_, most) => format!("must be at most {}, found {number}", most.unwrap_or_default()),
    })
}

fn of_size(size: usize, least: Option<i64>, most: Option<i64>, what: &str) -> Option<String> {
    let size = i64::try_from(size).unwrap_or(i64::MAX);
    if least.is_some_and(|least| size < least) {
        return Some(match least {
            Some(1) => "must not be empty".to_owned(),
            least => format!(
                "must have at least {} {what}, found {size}",
                least.unwrap_or_default()
            ),
        });
    }
    most.filter(|most| size > *most)
        .map(|most| format!("must have at most {most} {what}, found {size}"))
}

/// Items of a list whose key another has already: the API server keeps such lists as maps.
fn keys(items: &[Node], schema: &JSONSchemaProps) -> Vec<(Place, String)> {
    let Some(keys) = &schema.x_kubernetes_list_map_keys else {
        return Vec::new();
    };
    let mut seen = BTreeSet::new();
    let mut found = Vec::new();
    for item in items {
        let key: Vec<String> = keys
            .iter()
            .map(|key| item.get(key).map(Node::to_json).unwrap_or_default().to_string())
            .collect();
        if !seen.insert(key.clone()) {
            found.push((
                item.place,
                format!("has {} {} twice", keys.join(", "), key.join(", ")),
            ));
        }
    }
    found
}
