use serde_json::json;

use super::{adopting, apply, deployed, environment, existing, made, put, seen, written};
use crate::{
    plan::{Actor, Effect},
    render::{adopted, disruption_budget, selector},
    seen::{Key, Kind},
};

fn with_budget(budget: serde_json::Value) -> dcanary_crds::Environment {
    let mut env = environment();
    env.spec.workload.disruption_budget = Some(serde_json::from_value(budget).unwrap());
    env
}

#[test]
fn the_budget_follows_the_stable_release_and_goes_when_it_is_not_wanted() {
    let mut seen = seen();
    let env = with_budget(json!({"minAvailable": "50%"}));
    let mut stable = deployed(&made(&env, &seen));
    let effects = disruption_budget(&env, &stable.workload, &seen);
    let write = written(&effects[0]);
    assert_eq!(write.actor, Actor::Environment);
    assert_eq!(
        write.object["spec"],
        json!({"minAvailable": "50%", "selector": {"matchLabels": selector(&env, &stable.workload, &seen)}})
    );
    apply(write, &mut seen);
    // the API server of the tests puts a field into every spec
    let key = Key::new(Kind::PodDisruptionBudget, "web");
    seen.objects.get_mut(&key).unwrap()["spec"]
        .as_object_mut()
        .unwrap()
        .remove("minReadySeconds");
    assert_eq!(disruption_budget(&env, &stable.workload, &seen), []);

    stable.workload = "web-0000000000".into();
    let effects = disruption_budget(&env, &stable.workload, &seen);
    assert_eq!(
        written(&effects[0]).object["spec"]["selector"]["matchLabels"]["dcanary.dev/release"],
        "web-0000000000"
    );
    assert_eq!(written(&effects[0]).object["metadata"]["resourceVersion"], "1");

    let env = with_budget(json!({"maxUnavailable": "1"}));
    let effects = disruption_budget(&env, &stable.workload, &seen);
    assert_eq!(written(&effects[0]).object["spec"]["maxUnavailable"], 1);
    assert!(written(&effects[0]).object["spec"].get("minAvailable").is_none());

    let effects = disruption_budget(&environment(), &stable.workload, &seen);
    let uid = "uid-web".to_owned();
    assert_eq!(
        effects,
        [Effect::Delete {
            key: key.clone(),
            uid,
            version: None,
            actor: Actor::Environment
        }]
    );
    seen.unreadable.insert(key, "timeout".into());
    assert_eq!(disruption_budget(&environment(), &stable.workload, &seen), []);
}

#[test]
fn a_budget_of_somebody_else_is_neither_replaced_nor_deleted() {
    let mut seen = seen();
    put(
        &mut seen,
        json!({"kind": "PodDisruptionBudget", "metadata": {"name": "web", "uid": "x", "resourceVersion": "3"}, "spec": {}}),
    );
    let stable = deployed(&made(&environment(), &seen));
    assert_eq!(disruption_budget(&environment(), &stable.workload, &seen), []);
    let effects = disruption_budget(
        &with_budget(json!({"maxUnavailable": "1"})),
        &stable.workload,
        &seen,
    );
    assert!(
        written(&effects[0]).object["metadata"]
            .get("resourceVersion")
            .is_none()
    );
}

#[test]
fn the_budget_of_an_adopted_deployment_selects_by_its_own_labels() {
    let mut seen = seen();
    put(&mut seen, existing("shop"));
    let mut env = adopting("shop", json!({"canary": {"steps": [{"weight": 10}]}}));
    env.spec.workload.disruption_budget =
        Some(serde_json::from_value(json!({"maxUnavailable": "1"})).unwrap());
    let stable = adopted(&env, &seen).unwrap().unwrap();
    let effects = disruption_budget(&env, &stable.workload, &seen);
    assert_eq!(
        written(&effects[0]).object["spec"]["selector"]["matchLabels"],
        json!({"app": "shop"})
    );
}
