//! What the API server does not let be.

use dcanary_core::Wake;
use dcanary_crds::Verb;
use dcanary_rollout::{Key, Kind, Write, next};
use serde_json::json;

use crate::{
    build::{canary, environment},
    world::World,
};

/// A write of the route that gives the candidate 60 percent.
fn gives_60(write: &Write) -> bool {
    write.key == Key::new(Kind::HttpRoute, "web") && write.object.to_string().contains("\"weight\":60")
}

#[test]
fn a_write_that_was_refused_holds_up_no_other_write_of_the_same_object() {
    let mut world = World::new(environment(
        canary(json!([{"weight": 20}, {"weight": 60}, {"pause": {}}])),
        json!({}),
    ));
    world.promote("good1");
    world.run(60);
    let name = world.promote("good2");
    world.refuses = Some(gives_60);
    // it is tried again and again, each time after a pause
    world.run(25);
    let rollout = world.status().rollout.unwrap();
    assert_eq!((rollout.weight, rollout.reason.as_str()), (20, "Forbidden"));
    let retry_at = world.seen().refusals.values().next().unwrap().retry_at;
    assert!(world.now < retry_at);
    match next(&world.env, &world.seen(), world.now).wake {
        Wake::At(at) => assert!(at <= retry_at, "{at}"),
        Wake::OnChange => panic!("nobody looks when its time has come"),
    }
    world.decide(&name, Verb::Abort, "ann");
    world.run(1);
    assert!(world.now < retry_at, "the pause is not over");
    assert_eq!(
        world.cluster.weights().get("web-candidate"),
        Some(&0),
        "the way back is another write and waits for none"
    );
}

#[test]
fn an_adopted_deployment_keeps_its_number_of_pods_while_nobody_says_another() {
    let mut env = environment(
        canary(json!([{"weight": 50}])),
        json!({"workload": {"ref": {"name": "legacy"}}, "traffic": null}),
    );
    env.spec.replicas = None;
    let mut world = World::new(env);
    let legacy = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "legacy", "namespace": "shop"},
        "spec": {"replicas": 10, "selector": {"matchLabels": {"app": "legacy"}}, "template": {
            "metadata": {"labels": {"app": "legacy"}}, "spec": {"containers": [{"name": "app", "image": "legacy:1"}]}}},
    });
    assert!(
        world
            .cluster
            .write(&Key::new(Kind::Deployment, "legacy"), &legacy)
    );
    world.run(5);
    assert_eq!(world.cluster.replicas("legacy"), 10);
    world.promote("good1");
    world.run(90);
    let (stable, rollout) = (world.status().stable.unwrap(), world.status().rollout);
    assert_eq!(stable.release, "good1", "{rollout:?}");
    assert_eq!(world.cluster.replicas(&stable.workload), 10, "its successor too");
    world.env.spec.replicas = Some(3);
    world.run(5);
    assert_eq!(world.cluster.replicas(&stable.workload), 3);
}

#[test]
fn an_adopted_deployment_is_marked_and_scaled_by_one_write_after_the_other() {
    let mut env = environment(
        canary(json!([{"weight": 50}])),
        json!({"workload": {"ref": {"name": "legacy"}}, "traffic": null}),
    );
    env.spec.replicas = Some(5);
    let mut world = World::new(env);
    let legacy = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "legacy", "namespace": "shop"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "legacy"}}, "template": {
            "metadata": {"labels": {"app": "legacy"}}, "spec": {"containers": [{"name": "app", "image": "legacy:1"}]}}},
    });
    let key = Key::new(Kind::Deployment, "legacy");
    assert!(world.cluster.write(&key, &legacy));
    world.run(5);
    assert_eq!(world.cluster.replicas("legacy"), 5);
    let labels = &world.cluster.objects[&key]["metadata"]["labels"];
    assert_eq!(labels["dcanary.dev/environment"], "web");
}
