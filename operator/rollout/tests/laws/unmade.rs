//! Pods that never come: the condition names the cause at once.

use dcanary_crds::{ConditionType, Doing};
use dcanary_rollout::{Key, Kind};
use serde_json::{Value, json};

use crate::{
    build::{NAMESPACE, canary, environment},
    world::World,
};

fn strategies() -> [Value; 2] {
    [
        canary(json!([{"weight": 50}, {"pause": {}}])),
        json!({"rolling": {}}),
    ]
}

/// `good1` is stable with its settings, and `good2` was taken up and waits for the ledger.
fn taken_up(strategy: Value) -> (World, String) {
    let spec = json!({"progressDeadline": "60s", "workload": {"configMaps": ["settings"], "template": {"spec": {"template": {"spec": {
        "containers": [{"name": "app", "image": "$(images.app)", "envFrom": [{"configMapRef": {"name": "settings"}}]}]}}}}}});
    let mut world = World::new(environment(strategy, spec));
    let settings = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "settings", "namespace": "shop"}, "data": {"colour": "blue"}});
    world
        .cluster
        .objects
        .insert(Key::new(Kind::ConfigMap, "settings"), settings);
    world.promote("good1");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    world.chain_away = true;
    let name = world.promote("good2");
    world.run(3);
    assert_eq!(world.doing(), Some(Doing::Waiting));
    (world, name)
}

/// Reason and message of `Progressing`.
fn progressing(world: &World) -> (String, String) {
    let mut conditions = world.status().conditions.into_iter();
    let found = conditions
        .find(|one| one.kind == ConditionType::Progressing)
        .unwrap();
    (found.reason, found.message)
}

#[test]
fn a_release_that_is_deleted_before_its_pods_are_made_is_named_at_once() {
    for strategy in strategies() {
        let (mut world, name) = taken_up(strategy);
        let place = (NAMESPACE.to_owned(), "good2".to_owned());
        let release = world.releases.remove(&place).unwrap();
        world.chain_away = false;
        world.run(3);
        let (reason, message) = progressing(&world);
        assert_eq!(reason, "ReleaseMissing", "{message}");
        assert!(
            message.contains("no Release good2 in namespace shop"),
            "{message}"
        );
        world.releases.insert(place, release);
        world.run(3);
        assert_ne!(progressing(&world).0, "ReleaseMissing");
        assert_eq!(
            world.finished(&name).is_some(),
            world.stable().as_deref() == Some("good2")
        );
    }
}

#[test]
fn a_configmap_that_is_deleted_before_the_pods_are_made_is_named_at_once_and_at_the_deadline() {
    for strategy in strategies() {
        let (mut world, name) = taken_up(strategy);
        world
            .cluster
            .objects
            .remove(&Key::new(Kind::ConfigMap, "settings"));
        world.chain_away = false;
        world.run(3);
        let (reason, message) = progressing(&world);
        assert_eq!(reason, "ConfigMapMissing", "{message}");
        assert!(message.contains("`settings`"), "{message}");
        world.run(120);
        let (ended, reason) = world.finished(&name).unwrap();
        assert_eq!((ended, reason.as_str()), (false, "ProgressDeadlineExceeded"));
        let message = &world.status().held[0].message;
        assert!(message.contains("`settings`"), "what it is held for: {message}");
    }
}

#[test]
fn a_refusal_of_what_is_waited_for_is_told_before_any_other() {
    let mut world = World::new(environment(
        canary(json!([{"weight": 50}])),
        json!({"workload": {"ref": {"name": "legacy"}}, "traffic": null}),
    ));
    let legacy = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "legacy", "namespace": "shop"},
        "spec": {"replicas": 4, "selector": {"matchLabels": {"app": "legacy"}}, "template": {
            "metadata": {"labels": {"app": "legacy"}}, "spec": {"containers": [{"name": "app", "image": "legacy:1"}]}}},
    });
    assert!(
        world
            .cluster
            .write(&Key::new(Kind::Deployment, "legacy"), &legacy)
    );
    // the mark on what was adopted, which nobody waits for
    world.refuses = Some(|write| write.key.name == "legacy");
    world.run(2);
    world.refuses = Some(|write| write.key.kind == Kind::Deployment);
    world.refused_as = "QuotaExceeded";
    world.promote("good1");
    world.run(3);
    let refusals = world.seen().refusals;
    let reasons: Vec<&str> = refusals.values().map(|refusal| refusal.reason.as_str()).collect();
    assert_eq!(reasons, ["Forbidden", "QuotaExceeded"]);
    let (_, message) = progressing(&world);
    assert!(message.contains("QuotaExceeded"), "{message}");
}
