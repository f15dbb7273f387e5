//! Where two Pod templates differ, one of which the API server has added its defaults to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::object;

/// Fields that the API server writes when nobody does, and with what.
const TEXTS: [(&str, &str); 12] = [
    ("apiVersion", "v1"),
    ("divisor", "0"),
    ("dnsPolicy", "ClusterFirst"),
    ("imagePullPolicy", "Always"),
    ("imagePullPolicy", "IfNotPresent"),
    ("protocol", "TCP"),
    ("restartPolicy", "Always"),
    ("schedulerName", "default-scheduler"),
    ("scheme", "HTTP"),
    ("terminationMessagePath", "/dev/termination-log"),
    ("terminationMessagePolicy", "File"),
    ("type", ""),
];
const NUMBERS: [(&str, i64); 6] = [
    ("defaultMode", 0o644),
    ("failureThreshold", 3),
    ("periodSeconds", 10),
    ("successThreshold", 1),
    ("terminationGracePeriodSeconds", 30),
    ("timeoutSeconds", 1),
];
/// The old name of `serviceAccountName`, written beside it.
const OLD_ACCOUNT: &str = "serviceAccount";

/// Paths at which they differ: `+` is only in the new one, `-` only in the old one, `~` in both. Images of the release are left out: they
/// are told by name.
pub(super) fn paths(old: &Value, new: &Value, images: &BTreeSet<&str>) -> Vec<String> {
    let mut search = Search {
        images,
        found: Vec::new(),
    };
    search.compare("template", old, new);
    search.found
}

struct Search<'a> {
    images: &'a BTreeSet<&'a str>,
    found: Vec<String>,
}

impl Search<'_> {
    fn compare(&mut self, path: &str, old: &Value, new: &Value) {
        match (old, new) {
            (Value::Object(old), Value::Object(new)) => self.objects(path, old, new),
            (Value::Array(old), Value::Array(new)) => self.lists(path, old, new),
            _ if old == new => {}
            _ => self.found.push(format!("~{path}")),
        }
    }

    fn objects(&mut self, path: &str, old: &Map<String, Value>, new: &Map<String, Value>) {
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            let inner = field(path, name);
            match (old.get(name), new.get(name)) {
                (_, Some(Value::String(image)))
                    if name == "image" && self.images.contains(image.as_str()) => {}
                (Some(old), Some(new)) => self.compare(&inner, old, new),
                // what is empty may as well not be there
                (None, Some(Value::Object(new))) => self.objects(&inner, &Map::new(), new),
                (Some(Value::Object(old)), None) => self.objects(&inner, old, &Map::new()),
                (None, Some(new)) if !is_empty(new) => self.found.push(format!("+{inner}")),
                (Some(old), None) if !is_default(name, old) => self.found.push(format!("-{inner}")),
                _ => {}
            }
        }
    }

    /// Elements with names are compared by name, in whatever order they are; others by place.
    fn lists(&mut self, path: &str, old: &[Value], new: &[Value]) {
        let (old, new) = match (named(old), named(new)) {
            (Some(old), Some(new)) => (old, new),
            _ => (placed(old), placed(new)),
        };
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        for name in names {
            let inner = format!("{path}[{name}]");
            match (old.get(name), new.get(name)) {
                (Some(old), Some(new)) => self.compare(&inner, old, new),
                (None, _) => self.found.push(format!("+{inner}")),
                (_, None) => self.found.push(format!("-{inner}")),
            }
        }
    }
}

fn named(list: &[Value]) -> Option<BTreeMap<String, &Value>> {
    let named: BTreeMap<String, &Value> = list
        .iter()
        .map(|value| Some((object::text(value, "/name")?.to_owned(), value)))
        .collect::<Option<_>>()?;
    (named.len() == list.len()).then_some(named)
}

fn placed(list: &[Value]) -> BTreeMap<String, &Value> {
    // numbers as texts are in the order of texts, which is good enough to be read
    list.iter()
        .enumerate()
        .map(|(i, value)| (i.to_string(), value))
        .collect()
}

fn field(path: &str, name: &str) -> String {
    if name.contains(['.', '/']) {
        format!("{path}[{name}]")
    } else {
        format!("{path}.{name}")
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

fn is_default(name: &str, value: &Value) -> bool {
    is_empty(value)
        || name == OLD_ACCOUNT
        || value.as_str().is_some_and(|text| TEXTS.contains(&(name, text)))
        || value
            .as_i64()
            .is_some_and(|number| NUMBERS.contains(&(name, number)))
}
