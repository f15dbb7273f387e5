//! The PodDisruptionBudget of the release that serves.

use std::collections::BTreeMap;

use dcanary_crds::{DisruptionBudget, Environment, labels};
use serde_json::{Map, Value, json};

use super::{claim::claimed, deployment, in_place::share, metadata, object};
use crate::{
    plan::{Actor, Effect, Write},
    seen::{Key, Kind, Seen},
};

/// Lets the budget follow the workload that serves: made, changed, or deleted when none is wanted any more.
pub fn disruption_budget(env: &Environment, workload: &str, seen: &Seen) -> Vec<Effect> {
    let key = Key::new(Kind::PodDisruptionBudget, metadata::name(env));
    if seen.unreadable.contains_key(&key) {
        return Vec::new();
    }
    let there = seen.objects.get(&key).filter(|there| !object::is_leaving(there));
    let effect = match (&env.spec.workload.disruption_budget, there) {
        (Some(budget), there) => write(env, budget, workload, there, key, seen),
        (None, Some(there)) if object::label(there, labels::ENVIRONMENT_UID) == Some(metadata::uid(env)) => {
            Some(Effect::Delete {
                key,
                uid: object::uid(there),
                version: None,
                actor: Actor::Environment,
            })
        }
        (None, _) => None,
    };
    effect.into_iter().collect()
}

fn write(
    env: &Environment,
    budget: &DisruptionBudget,
    workload: &str,
    there: Option<&Value>,
    key: Key,
    seen: &Seen,
) -> Option<Effect> {
    let mut spec = Map::new();
    for (field, number) in [
        ("minAvailable", &budget.min_available),
        ("maxUnavailable", &budget.max_unavailable),
    ] {
        if let Some(number) = number {
            spec.insert(field.to_owned(), share(number));
        }
    }
    let selector = deployment::selector(env, workload, seen);
    spec.insert(
        "selector".to_owned(),
        json!({"matchLabels": object::json(&selector)}),
    );
    let object = match there.filter(|there| claimed(env, there).is_ok()) {
        Some(there) if there.get("spec") == Some(&Value::Object(spec.clone())) => return None,
        Some(there) => {
            let mut object = there.clone();
            object::at(&mut object, "spec", |live| *live = spec);
            object
        }
        None => json!({
            "apiVersion": key.kind.api_version(),
            "kind": key.kind.name(),
            "metadata": metadata::new(env, &key.name, &BTreeMap::new(), &metadata::of_environment(env), None),
            "spec": spec,
        }),
    };
    Some(Effect::Write(Box::new(Write {
        object: object::with_kind(object, key.kind),
        key,
        actor: Actor::Environment,
    })))
}
