//! Reading and building objects of the API as JSON. Nothing here trusts the shape of what others wrote.

use std::collections::BTreeMap;

use dcanary_crds::labels;
use serde_json::{Map, Value};

use crate::seen::Kind;

/// Text at a pointer.
pub(super) fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

/// Number at a pointer; numbers that do not fit are cut.
pub(super) fn number(value: &Value, pointer: &str) -> Option<i32> {
    let number = value.pointer(pointer).and_then(Value::as_i64)?;
    Some(i32::try_from(number).unwrap_or(if number < 0 { i32::MIN } else { i32::MAX }))
}

/// List at a pointer; empty when there is none.
pub(super) fn list<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    value
        .pointer(pointer)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Texts by name at a pointer; empty when there are none.
pub(super) fn texts(value: &Value, pointer: &str) -> BTreeMap<String, String> {
    value
        .pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect()
}

/// UID, or nothing.
pub(super) fn uid(object: &Value) -> String {
    text(object, "/metadata/uid").unwrap_or_default().to_owned()
}

/// Label of an object.
pub(super) fn label<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.pointer("/metadata/labels")?.get(name)?.as_str()
}

/// Annotation of an object (or of a Pod template).
pub(super) fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.pointer("/metadata/annotations")?.get(name)?.as_str()
}

/// Identity of the release that an object was made for.
pub fn identity_of(object: &Value) -> Option<&str> {
    annotation(object, labels::IDENTITY)
}

/// Somebody asked for its deletion.
pub(super) fn is_leaving(object: &Value) -> bool {
    text(object, "/metadata/deletionTimestamp").is_some()
}

/// The condition of a type.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    list(object, "/status/conditions")
        .iter()
        .find(|condition| text(condition, "/type") == Some(kind))
}

/// All of the labels are on it.
pub(super) fn has_labels(object: &Value, labels: &BTreeMap<String, String>) -> bool {
    labels
        .iter()
        .all(|(name, value)| label(object, name) == Some(value.as_str()))
}

/// Texts by name as JSON.
pub(super) fn json(texts: &BTreeMap<String, String>) -> Value {
    texts
        .iter()
        .map(|(name, value)| (name.clone(), Value::String(value.clone())))
        .collect::<Map<_, _>>()
        .into()
}

/// Changes the object under a name, which is made when there is none.
pub(super) fn within(
    parent: &mut Map<String, Value>,
    name: &str,
    change: impl FnOnce(&mut Map<String, Value>),
) {
    let mut child = match parent.remove(name) {
        Some(Value::Object(child)) => child,
        _ => Map::new(),
    };
    change(&mut child);
    parent.insert(name.to_owned(), Value::Object(child));
}

/// Changes the metadata and the spec of an object.
pub(super) fn at(object: &mut Value, name: &str, change: impl FnOnce(&mut Map<String, Value>)) {
    let mut root = match object.take() {
        Value::Object(root) => root,
        _ => Map::new(),
    };
    within(&mut root, name, change);
    *object = Value::Object(root);
}

/// An object of a list has no kind of its own; what is written has one.
pub(super) fn with_kind(mut object: Value, kind: Kind) -> Value {
    if let Value::Object(root) = &mut object {
        for (field, value) in [("apiVersion", kind.api_version()), ("kind", kind.name())] {
            root.entry(field).or_insert_with(|| value.into());
        }
    }
    object
}

/// Every field that is wanted is there, whatever else is. Lists have to be as long.
pub(super) fn covers(live: &Value, wanted: &Value) -> bool {
    match (live, wanted) {
        (Value::Object(live), Value::Object(wanted)) => wanted
            .iter()
            .all(|(name, value)| live.get(name).is_some_and(|live| covers(live, value))),
        (Value::Array(live), Value::Array(wanted)) => {
            live.len() == wanted.len() && live.iter().zip(wanted).all(|(live, wanted)| covers(live, wanted))
        }
        _ => live == wanted,
    }
}

/// Takes out what is `null`: the API server does not tell it from what is not there.
pub(super) fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_nulls);
        }
        Value::Array(list) => list.iter_mut().for_each(without_nulls),
        _ => {}
    }
}
