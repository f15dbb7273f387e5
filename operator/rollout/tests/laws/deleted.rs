//! An Environment that is deleted.

use dcanary_crds::ConditionType;
use dcanary_rollout::{Key, Kind};
use dcanary_types::environment::EnvTransition;
use serde_json::json;

use crate::{
    build::{canary, environment},
    world::World,
};

#[test]
fn with_the_environment_its_promotions_end() {
    let mut world = World::new(environment(
        canary(json!([{"weight": 50}, {"pause": {}}])),
        json!({}),
    ));
    world.promote("good1");
    world.run(30);
    let rolling = world.promote("good2");
    world.run_to(50);
    let waiting = world.promote("missing");
    world.run(2);
    world.delete();
    world.run(5);
    assert!(world.is_gone());
    let last: Vec<&EnvTransition> = world.chain.iter().rev().take(2).collect();
    assert!(
        matches!(last[..], [EnvTransition::Closed, EnvTransition::Aborted { promotion, reason }]
            if *promotion == format!("uid-{rolling}") && reason == "EnvironmentDeleted"),
        "{last:?}"
    );
    for name in [rolling, waiting] {
        assert_eq!(
            world.finished(&name),
            Some((false, "EnvironmentDeleted".to_owned())),
            "{name}"
        );
    }
}

fn adopted() -> (World, Key) {
    let mut world = World::new(environment(
        canary(json!([{"weight": 50}])),
        json!({"workload": {"ref": {"name": "legacy"}}, "traffic": null, "deletionPolicy": "GiveBack"}),
    ));
    let legacy = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "legacy", "namespace": "shop"},
        "spec": {"replicas": 4, "selector": {"matchLabels": {"app": "legacy"}}, "template": {
            "metadata": {"labels": {"app": "legacy"}}, "spec": {"containers": [{"name": "app", "image": "legacy:1"}]}}},
    });
    let key = Key::new(Kind::Deployment, "legacy");
    assert!(world.cluster.write(&key, &legacy));
    world.run(5);
    assert!(world.status().stable.is_some());
    (world, key)
}

/// What people are told while it stays.
fn told(world: &World) -> String {
    let conditions = world.status().conditions;
    let mut found = conditions.into_iter();
    found
        .find(|condition| condition.kind == ConditionType::Reconciling)
        .map_or_else(String::new, |condition| condition.message)
}

#[test]
fn an_environment_whose_adopted_deployment_is_gone_goes_too() {
    for leaves_only in [true, false] {
        let (mut world, key) = adopted();
        if leaves_only {
            world.cluster.objects.get_mut(&key).unwrap()["metadata"]["deletionTimestamp"] =
                "2026-01-02T03:04:05Z".into();
        } else {
            world.cluster.objects.remove(&key);
        }
        world.delete();
        world.run(15);
        assert!(world.is_gone(), "{leaves_only}");
    }
}

#[test]
fn what_serves_instead_of_an_adopted_deployment_that_is_gone_is_not_taken_away() {
    let (mut world, key) = adopted();
    world.promote("good1");
    world.run(60);
    let workload = world.status().stable.unwrap().workload;
    assert_ne!(workload, key.name);
    world.cluster.objects.remove(&key);
    world.delete();
    world.run(30);
    assert!(world.is_gone());
    assert_eq!(world.cluster.available(&workload), 4);
}

#[test]
fn an_environment_goes_with_its_namespace_and_gives_nothing_back() {
    let (mut world, key) = adopted();
    world.promote("good1");
    world.run(60);
    // its rights went with the namespace
    world.refuses = Some(|_| true);
    world.delete();
    world.run(15);
    assert!(!world.is_gone());
    world.namespace_terminating = true;
    let before = world.cluster.objects[&key].clone();
    world.run(15);
    assert!(world.is_gone());
    assert_eq!(world.cluster.objects[&key], before);
}

#[test]
fn an_environment_that_cannot_give_back_says_why() {
    let (mut world, key) = adopted();
    world.refuses = Some(|write| write.key == Key::new(Kind::Deployment, "legacy"));
    world.delete();
    world.run(15);
    assert!(!world.is_gone());
    let message = told(&world);
    assert!(
        message.contains("legacy") && message.contains("Forbidden"),
        "{message}"
    );
    world.refuses = None;
    world.cluster.lame.insert("legacy".to_owned());
    world.run(30);
    assert!(!world.is_gone());
    assert!(told(&world).contains("0 of 4"), "{}", told(&world));
    world.cluster.lame.clear();
    world.run(30);
    assert!(world.is_gone());
    let labels = &world.cluster.objects[&key]["metadata"]["labels"];
    assert!(labels.get("dcanary.dev/environment").is_none(), "{labels}");
}

#[test]
fn more_promotions_than_one_pass_ends_all_end_before_the_environment_goes() {
    let mut world = World::new(environment(canary(json!([])), json!({})));
    world.run(1);
    world.delete();
    let all: Vec<String> = (0..120).map(|_| world.promote("missing")).collect();
    world.run(15);
    assert!(world.is_gone());
    for name in all {
        assert_eq!(
            world.finished(&name),
            Some((false, "EnvironmentDeleted".to_owned())),
            "{name}"
        );
    }
}
