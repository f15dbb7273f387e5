//! Whether an object says what was written, apart from what the API server fills in.

use serde_json::{Value, json};

/// Fields that the API server never adds: where one appears, somebody put it there.
const OURS: [&str; 14] = [
    "backendRefs",
    "filters",
    "fraction",
    "headers",
    "hostnames",
    "method",
    "name",
    "namespace",
    "percent",
    "port",
    "queryParams",
    "retry",
    "sessionPersistence",
    "timeouts",
];

/// Whether `seen` is `wanted` with defaults of the Gateway API filled in. Fields that this version does not know are taken for such.
pub(super) fn covers(seen: &Value, wanted: &Value) -> bool {
    match (seen, wanted) {
        (Value::Object(seen), Value::Object(wanted)) => {
            let said = |key: &str| wanted.get(key).filter(|value| !value.is_null());
            wanted
                .iter()
                .filter(|(_, value)| !value.is_null())
                .all(|(key, value)| seen.get(key).is_some_and(|seen| covers(seen, value)))
                && seen
                    .iter()
                    .all(|(key, value)| said(key).is_some() || is_default(key, value))
        }
        (Value::Array(seen), Value::Array(wanted)) => {
            seen.len() == wanted.len() && seen.iter().zip(wanted).all(|(seen, wanted)| covers(seen, wanted))
        }
        _ => seen == wanted,
    }
}

fn is_default(key: &str, value: &Value) -> bool {
    let path = json!({"type": "PathPrefix", "value": "/"});
    match key {
        "group" => value == "" || value == "gateway.networking.k8s.io",
        "kind" => value == "Service" || value == "Gateway",
        "type" => value == "Exact" || value == "PathPrefix",
        "value" => value == "/",
        "weight" => value == 1,
        "path" => *value == path,
        "matches" => *value == json!([{"path": path}]),
        _ => !OURS.contains(&key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_server_fills_in_is_no_change() {
        let wanted = json!({"backendRefs": [{"name": "web", "port": 80, "weight": 100}]});
        let seen = json!({
            "backendRefs": [{"group": "", "kind": "Service", "name": "web", "port": 80, "weight": 100}],
            "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        });
        assert!(covers(&seen, &wanted));
    }

    #[test]
    fn what_somebody_else_put_in_is_a_change() {
        let wanted = json!({"backendRefs": [{"name": "web", "port": 80, "weight": 100}]});
        for seen in [
            json!({"backendRefs": [{"name": "web", "port": 80, "weight": 90}]}),
            json!({"backendRefs": [{"name": "web", "port": 80, "weight": 100, "namespace": "theirs"}]}),
            json!({"backendRefs": [{"name": "web", "port": 80, "weight": 100}], "filters": []}),
            json!({"backendRefs": [{"name": "web", "port": 80, "weight": 100}, {"name": "x", "port": 80}]}),
            json!({"backendRefs": [{"name": "web", "port": 80, "weight": 100}], "matches": [{"path": {"type": "Exact", "value": "/a"}}]}),
            json!({}),
        ] {
            assert!(!covers(&seen, &wanted), "{seen}");
        }
    }
}
