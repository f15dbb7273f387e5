//! Whether a route is in force: what its gateways say about the generation that is there.

use serde_json::{Value, json};

use super::{
    InForce,
    path::{at, list, text},
};

/// Whether every parent of a route has taken up what it says now.
pub(super) fn in_force(object: &Value) -> InForce {
    let route = format!(
        "{} {}",
        text(object, &["kind"]).unwrap_or("route"),
        text(object, &["metadata", "name"]).unwrap_or_default(),
    );
    let parents = list(object, &["spec", "parentRefs"]);
    if parents.is_empty() {
        return InForce::Refused {
            reason: "RouteRejected".to_owned(),
            message: format!("{route} has no parentRefs, so that no gateway serves it: name one"),
        };
    }
    let mut state = InForce::Yes;
    for parent in parents {
        match of_parent(object, parent, &route) {
            InForce::Yes => {}
            refused @ InForce::Refused { .. } => return refused,
            waits @ InForce::NotYet { .. } => state = waits,
        }
    }
    state
}

/// Whether a gateway of a route follows an earlier version of it. One that never took it up serves none.
pub(super) fn lags(object: &Value) -> bool {
    let generation = at(object, &["metadata", "generation"]).and_then(Value::as_i64);
    let own = text(object, &["metadata", "namespace"]).unwrap_or_default();
    list(object, &["spec", "parentRefs"]).iter().any(|parent| {
        let said: Vec<Option<i64>> = list(object, &["status", "parents"])
            .iter()
            .filter(|entry| at(entry, &["parentRef"]).is_some_and(|said| is_same(said, parent, own)))
            .flat_map(|entry| list(entry, &["conditions"]))
            .filter(|condition| text(condition, &["type"]) == Some("Accepted"))
            .map(|condition| at(condition, &["observedGeneration"]).and_then(Value::as_i64))
            .collect();
        // one gateway serves a parent: the others may say what they like
        !said.is_empty() && said.iter().all(|observed| *observed < generation)
    })
}

fn of_parent(object: &Value, parent: &Value, route: &str) -> InForce {
    let name = text(parent, &["name"]).unwrap_or_default();
    let own = text(object, &["metadata", "namespace"]).unwrap_or_default();
    let said: Vec<&Value> = list(object, &["status", "parents"])
        .iter()
        .filter(|entry| at(entry, &["parentRef"]).is_some_and(|said| is_same(said, parent, own)))
        .collect();
    if said.is_empty() {
        return InForce::NotYet {
            message: format!("no gateway has said yet that it serves {route} for {name}"),
        };
    }
    let generation = at(object, &["metadata", "generation"]).and_then(Value::as_i64);
    let states: Vec<InForce> = said
        .iter()
        .map(|entry| of_entry(entry, generation, route, name))
        .collect();
    // One gateway serves a parent. Other implementations may say of it that it is none of theirs.
    let rank = |state: &InForce| match state {
        InForce::Yes => 0,
        InForce::NotYet { .. } => 1,
        InForce::Refused { .. } => 2,
    };
    states.into_iter().min_by_key(rank).unwrap_or(InForce::Yes)
}

fn of_entry(entry: &Value, generation: Option<i64>, route: &str, parent: &str) -> InForce {
    let condition = |kind: &str| {
        list(entry, &["conditions"])
            .iter()
            .find(|condition| text(condition, &["type"]) == Some(kind))
            .filter(|condition| {
                generation.is_some()
                    && at(condition, &["observedGeneration"]).and_then(Value::as_i64) == generation
            })
    };
    let (Some(accepted), Some(resolved)) = (condition("Accepted"), condition("ResolvedRefs")) else {
        return InForce::NotYet {
            message: format!("{parent} has not taken up the present {route} yet"),
        };
    };
    let status = |condition: &Value| text(condition, &["status"]).unwrap_or_default().to_owned();
    let why = |condition: &Value| {
        let reason = text(condition, &["reason"]).unwrap_or_default();
        format!("{reason}: {}", text(condition, &["message"]).unwrap_or_default())
    };
    let refused = |condition: &Value, what: &str| InForce::Refused {
        reason: "RouteRejected".to_owned(),
        message: format!("{parent} {what} {route}: {}", why(condition)),
    };
    // A gateway may say `Pending` at first; Service and endpoints may reach it later than the route.
    let passes = |condition: &Value| {
        matches!(text(condition, &["reason"]), Some("Pending" | "BackendNotFound"))
            || status(condition) == "Unknown"
    };
    for (condition, what) in [
        (accepted, "does not accept"),
        (resolved, "cannot follow all backends of"),
    ] {
        match status(condition).as_str() {
            "True" => {}
            _ if passes(condition) => {
                return InForce::NotYet {
                    message: format!("{parent} {what} {route} yet: {}", why(condition)),
                };
            }
            _ => return refused(condition, what),
        }
    }
    match condition("PartiallyInvalid") {
        Some(partial) if status(partial) == "True" => refused(partial, "leaves out parts of"),
        _ => InForce::Yes,
    }
}

/// Whether two references name the same parent.
fn is_same(one: &Value, other: &Value, own: &str) -> bool {
    let field = |value: &Value, key: &str, default: &str| {
        text(value, &[key])
            .filter(|text| !text.is_empty())
            .unwrap_or(default)
            .to_owned()
    };
    let group = |value: &Value| match at(value, &["group"]) {
        Some(group) => group.clone(),
        None => json!("gateway.networking.k8s.io"),
    };
    group(one) == group(other)
        && field(one, "kind", "Gateway") == field(other, "kind", "Gateway")
        && field(one, "namespace", own) == field(other, "namespace", own)
        && field(one, "name", "") == field(other, "name", "")
        && field(one, "sectionName", "") == field(other, "sectionName", "")
        && at(one, &["port"]) == at(other, &["port"])
}
