//! Fields of JSON objects by path, whatever is there.

use serde_json::{Map, Value};

/// The value at a path.
pub(super) fn at<'v>(value: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, key| value.get(key))
}

/// The text at a path.
pub(super) fn text<'v>(value: &'v Value, path: &[&str]) -> Option<&'v str> {
    at(value, path)?.as_str()
}

/// The list at a path; without one, an empty one.
pub(super) fn list<'v>(value: &'v Value, path: &[&str]) -> &'v [Value] {
    at(value, path)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Sets the value at a path. What is no object on the way becomes one.
pub(super) fn put(value: &mut Value, path: &[&str], new: Value) {
    let Some((first, rest)) = path.split_first() else {
        *value = new;
        return;
    };
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    if let Value::Object(map) = value {
        put(map.entry(*first).or_insert(Value::Null), rest, new);
    }
}

/// Takes a field out.
pub(super) fn take(value: &mut Value, key: &str) {
    if let Value::Object(map) = value {
        map.remove(key);
    }
}
