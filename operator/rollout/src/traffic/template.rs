//! A route that is wholly ours.

use dcanary_crds::Route;
use serde_json::{Map, Value, json};

use super::{
    covers::covers,
    obstacle::Obstacle,
    path::{at, list, put, take, text},
    place::Place,
    route::{Asked, kind},
    rules::{WHOLE, pair, set_mirror},
    services::labels_of,
    testers, verify,
};

/// The route as it should be; as it was seen, where that says the same.
pub(super) fn written(
    place: &Place<'_>,
    route: &Route,
    seen: Option<&Value>,
    asked: &Asked<'_>,
) -> Result<Value, Obstacle> {
    let spec = spec(place, route, asked)?;
    let Some(seen) = seen else {
        let kind = kind(route.kind);
        return Ok(json!({
            "apiVersion": kind.api_version(),
            "kind": kind.name(),
            "metadata": {"name": place.stable, "namespace": place.namespace, "labels": labels_of(place)},
            "spec": spec,
        }));
    };
    let mut object = seen.clone();
    for (key, value) in labels_of(place) {
        put(&mut object, &["metadata", "labels", &key], value);
    }
    if !at(seen, &["spec"]).is_some_and(|seen| covers(seen, &spec)) {
        put(&mut object, &["spec"], spec);
    }
    Ok(object)
}

fn spec(place: &Place<'_>, route: &Route, asked: &Asked<'_>) -> Result<Value, Obstacle> {
    let template = route.template.clone().unwrap_or_default();
    let rules = if template.rules.is_empty() {
        vec![Map::new()]
    } else {
        template.rules
    };
    let rules: Vec<Value> = rules
        .into_iter()
        .map(|rule| weighted(place, rule, asked))
        .collect();
    let indices: Vec<usize> = (0..rules.len())
        .filter(|index| rules[*index].get("backendRefs").is_some())
        .collect();
    let mut spec = Map::new();
    spec.insert("parentRefs".to_owned(), json!(template.parent_refs));
    if !template.hostnames.is_empty() {
        spec.insert("hostnames".to_owned(), json!(template.hostnames));
    }
    let rules = testers::set(place, route.kind, rules, &indices, asked.testers)?;
    let rules = verify::set(place, rules, asked.token)?;
    spec.insert("rules".to_owned(), Value::Array(rules));
    Ok(Value::Object(spec))
}

/// Gives a rule its backends. One that redirects may have none.
fn weighted(place: &Place<'_>, rule: Map<String, Value>, asked: &Asked<'_>) -> Value {
    let mut rule = Value::Object(rule);
    let redirects = list(&rule, &["filters"])
        .iter()
        .any(|filter| text(filter, &["type"]) == Some("RequestRedirect"));
    if redirects {
        take(&mut rule, "backendRefs");
        return rule;
    }
    let port = json!(place.spec.ports.first().map(|port| port.port));
    let backend = |name: &str, weight: i64| json!({"name": name, "port": port, "weight": weight});
    let (stable, candidate) = pair(WHOLE, asked.weight);
    let backends = if place.splits() {
        json!([
            backend(place.stable, stable),
            backend(&place.candidate, candidate)
        ])
    } else {
        json!([backend(place.stable, WHOLE)])
    };
    put(&mut rule, &["backendRefs"], backends);
    if place.splits() {
        set_mirror(&mut rule, asked.mirror, &port, place);
    }
    rule
}
