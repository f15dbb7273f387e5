//! What the API server fills in.

use serde_json::{Value, json};

use crate::seen::Kind;

/// Defaults, as the schemas of the Gateway API and of Services have them.
pub(super) fn fill_in(kind: Kind, object: &mut Value) {
    if kind == Kind::Service {
        object["spec"]["clusterIP"] = json!("10.0.0.7");
        object["spec"]["type"] = json!("ClusterIP");
        return;
    }
    let or = |object: &mut Value, key: &str, default: Value| {
        if object.get(key).is_none() {
            object[key] = default;
        }
    };
    for parent in object["spec"]["parentRefs"].as_array_mut().into_iter().flatten() {
        or(parent, "group", json!("gateway.networking.k8s.io"));
        or(parent, "kind", json!("Gateway"));
    }
    for rule in object["spec"]["rules"].as_array_mut().into_iter().flatten() {
        if kind == Kind::HttpRoute {
            or(rule, "matches", json!([{}]));
        }
        for matched in rule["matches"].as_array_mut().into_iter().flatten() {
            if kind == Kind::HttpRoute {
                or(matched, "path", json!({"type": "PathPrefix", "value": "/"}));
            }
            if let Some(headers) = matched.get_mut("headers") {
                for header in headers.as_array_mut().into_iter().flatten() {
                    or(header, "type", json!("Exact"));
                }
            }
        }
        if rule.get("matches") == Some(&Value::Null) {
            rule.as_object_mut().unwrap().remove("matches");
        }
        if let Some(filters) = rule.get_mut("filters") {
            for filter in filters.as_array_mut().into_iter().flatten() {
                if let Some(backend) = filter.pointer_mut("/requestMirror/backendRef") {
                    or(backend, "group", json!(""));
                    or(backend, "kind", json!("Service"));
                }
            }
        }
        if let Some(backends) = rule.get_mut("backendRefs") {
            for backend in backends.as_array_mut().into_iter().flatten() {
                or(backend, "group", json!(""));
                or(backend, "kind", json!("Service"));
                or(backend, "weight", json!(1));
            }
        }
    }
}
