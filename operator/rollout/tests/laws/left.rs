//! An Environment that is deleted with `deletionPolicy: Orphan` and created again.

use dcanary_crds::Verb;
use dcanary_rollout::{Key, Kind};
use serde_json::{Value, json};

use crate::{
    build::{canary, environment},
    world::World,
};

/// A world in which `good1` was promoted, and another release is on its way when somebody deletes the Environment and creates it again.
fn again(strategy: Value, more: Value, weight: Option<i32>) -> World {
    let mut world = World::new(environment(strategy, more));
    world.promote("good1");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    if let Some(weight) = weight {
        world.promote("good2");
        world.run_to(weight);
    }
    world.delete();
    world.run(5);
    world.create_again();
    world
}

/// Names of the workloads that are there.
fn workloads(world: &World) -> Vec<&str> {
    let deployments = world
        .cluster
        .objects
        .keys()
        .filter(|key| key.kind == Kind::Deployment);
    deployments.map(|key| key.name.as_str()).collect()
}

/// Everything that is there has the mark of the Environment that is there now.
fn all_ours(world: &World) {
    let uid = world.env.metadata.uid.clone().unwrap();
    for (key, object) in &world.cluster.objects {
        if object
            .pointer("/metadata/labels/dcanary.dev~1environment")
            .is_some()
        {
            let of = &object["metadata"]["labels"]["dcanary.dev/environment-uid"];
            assert_eq!(*of, json!(uid), "{key:?}");
        }
    }
}

/// Runs second by second; all requests go to Pods that are ready, at any time.
fn serves(world: &mut World, seconds: i64) {
    for _ in 0..seconds {
        world.run(1);
        for (workload, share) in world.cluster.shares() {
            let ready = world.cluster.available(&workload);
            assert!(
                share == 0 || ready > 0,
                "{share} % go to {workload}, which has no Pod that is ready"
            );
        }
        let sum: i64 = world.cluster.shares().values().sum();
        assert_eq!(sum, 100, "{:?}", world.cluster.shares());
    }
}

#[test]
fn what_was_left_behind_is_the_stable_release_and_serves_until_the_next_one_does() {
    let mut world = again(canary(json!([{"weight": 50}])), json!({}), None);
    serves(&mut world, 5);
    let left = world.status().stable.unwrap();
    assert_eq!(
        (left.release.as_str(), world.cluster.available(&left.workload)),
        ("", 4)
    );
    assert_eq!(workloads(&world), [left.workload.as_str()]);
    all_ours(&world);
    let name = world.promote("good2");
    serves(&mut world, 120);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert_eq!(world.finished(&name), Some((true, "Promoted".to_owned())));
    assert_eq!(world.cluster.replicas(&left.workload), 0);
    all_ours(&world);
}

#[test]
fn a_release_that_fails_goes_back_to_what_was_left_behind() {
    let mut world = again(canary(json!([{"weight": 50}, {"pause": {}}])), json!({}), None);
    serves(&mut world, 5);
    let left = world.status().stable.unwrap().workload;
    let name = world.promote("good2");
    world.run_to(50);
    world.decide(&name, Verb::Abort, "ann");
    serves(&mut world, 60);
    assert_eq!(world.cluster.shares().get(&left), Some(&100));
    assert_eq!(world.status().stable.unwrap().workload, left);
}

#[test]
fn the_same_release_again_is_the_stable_one_already() {
    let mut world = again(canary(json!([{"weight": 50}])), json!({}), None);
    let name = world.promote("good1");
    serves(&mut world, 10);
    assert_eq!(world.finished(&name), Some((true, "AlreadyStable".to_owned())));
    assert_eq!(world.stable().as_deref(), Some("good1"));
    let only = world.status().stable.unwrap().workload;
    assert_eq!(workloads(&world), [only.as_str()]);
    assert_eq!(world.cluster.available(&only), 4);
}

#[test]
fn a_candidate_that_was_left_behind_loses_its_requests_and_goes() {
    let mut world = again(
        canary(json!([{"weight": 50}, {"pause": {}}])),
        json!({}),
        Some(50),
    );
    assert_eq!(workloads(&world).len(), 2);
    serves(&mut world, 5);
    let stable = world.status().stable.unwrap().workload;
    assert_eq!(world.cluster.shares(), [(stable.clone(), 100)].into());
    serves(&mut world, 60);
    assert_eq!(workloads(&world), [stable.as_str()]);
}

#[test]
fn a_candidate_that_was_left_behind_can_be_promoted() {
    let mut world = again(
        canary(json!([{"weight": 50}, {"pause": {"duration": "10s"}}])),
        json!({}),
        None,
    );
    world.run(5);
    world.promote("good2");
    world.run_to(50);
    world.delete();
    world.run(5);
    world.create_again();
    world.promote("good2");
    serves(&mut world, 120);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    all_ours(&world);
}

#[test]
fn what_was_left_behind_in_place_is_gone_on_with() {
    let mut world = again(json!({"rolling": {}}), json!({"traffic": null}), None);
    let key = Key::new(Kind::Deployment, "web");
    let before = world.cluster.objects[&key]["spec"].clone();
    world.run(5);
    assert_eq!(world.cluster.objects[&key]["spec"], before, "no Pod restarts");
    assert_eq!(world.status().stable.unwrap().workload, "web");
    world.promote("good2");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    world.promote("crash");
    world.run(700);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert_eq!(world.cluster.available("web"), 4);
    all_ours(&world);
}

#[test]
fn what_is_of_another_environment_is_left_alone() {
    let mut world = again(canary(json!([{"weight": 50}])), json!({}), None);
    for object in world.cluster.objects.values_mut() {
        object["metadata"]["labels"]["dcanary.dev/environment"] = "other".into();
    }
    let before = world.cluster.objects.clone();
    world.run(30);
    assert!(world.status().stable.is_none());
    assert_eq!(world.cluster.objects, before);
}

#[test]
fn with_the_second_environment_goes_what_the_first_one_left_behind() {
    let mut world = again(
        canary(json!([{"weight": 50}, {"pause": {}}])),
        json!({}),
        Some(50),
    );
    world.env.spec.deletion_policy = dcanary_crds::DeletionPolicy::Delete;
    world.run(60);
    world.delete();
    world.run(30);
    assert!(world.is_gone());
    assert!(
        world.cluster.objects.is_empty(),
        "{:?}",
        world.cluster.objects.keys()
    );
}
