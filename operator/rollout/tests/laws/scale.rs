//! An autoscaler finds the Pods that serve.

use std::collections::BTreeMap;

use dcanary_rollout::{Key, Kind};
use serde_json::{Value, json};

use crate::{
    build::{canary, environment},
    world::World,
};

/// Whether the selector of `/scale` selects the Pods of the stable release.
fn finds_stable(world: &World) -> bool {
    let status = world.status();
    let selector = status.selector.unwrap();
    let wanted: BTreeMap<&str, &str> = selector
        .split(',')
        .map(|pair| pair.split_once('=').unwrap())
        .collect();
    let key = Key::new(Kind::Deployment, status.stable.unwrap().workload);
    let labels = &world.cluster.objects[&key]["spec"]["template"]["metadata"]["labels"];
    wanted
        .iter()
        .all(|(key, value)| labels.get(*key) == Some(&json!(value)))
}

fn legacy() -> (Key, Value) {
    let labels = json!({"app": "legacy"});
    let object = json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "legacy", "namespace": "shop", "uid": "uid-legacy", "generation": 1, "resourceVersion": "1"},
        "spec": {"replicas": 4, "selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels},
            "spec": {"containers": [{"name": "app", "image": "$(images.app)"}]}}},
    });
    (Key::new(Kind::Deployment, "legacy"), object)
}

#[test]
fn the_selector_of_scale_finds_the_pods_of_an_adopted_deployment_and_those_of_what_follows_it() {
    let more = json!({"workload": {"ref": {"name": "legacy"}}, "traffic": null});
    let mut world = World::new(environment(json!({"blueGreen": {}}), more));
    let (key, object) = legacy();
    world.cluster.objects.insert(key, object);
    world.cluster.settle();
    world.run(5);
    assert_eq!(world.status().selector.as_deref(), Some("app=legacy"));
    assert!(finds_stable(&world));
    world.promote("good1");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    assert!(finds_stable(&world));
}

#[test]
fn the_selector_of_scale_finds_the_pods_that_an_environment_of_the_same_name_left_behind() {
    let steps = json!([{"weight": 50}, {"pause": {"duration": "5s"}}]);
    let mut world = World::new(environment(canary(steps), json!({})));
    world.promote("good1");
    world.run(60);
    assert!(finds_stable(&world));
    world.delete();
    world.run(5);
    world.create_again();
    world.run(5);
    assert!(finds_stable(&world), "{:?}", world.status().selector);
    world.promote("good2");
    world.run_to(50);
    assert!(finds_stable(&world));
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert!(finds_stable(&world));
}
