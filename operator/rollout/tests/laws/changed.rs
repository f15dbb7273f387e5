//! Somebody changes a Deployment of a release by hand.

use dcanary_crds::{ConditionStatus, ConditionType};
use dcanary_rollout::{Key, Kind, next};
use serde_json::{Value, json};

use crate::{
    build::{canary, environment},
    world::World,
};

fn image(world: &World, workload: &str) -> String {
    let object = &world.cluster.objects[&Key::new(Kind::Deployment, workload)];
    let image = &object["spec"]["template"]["spec"]["containers"][0]["image"];
    image.as_str().unwrap().to_owned()
}

/// `kubectl set image`.
fn set_image(world: &mut World, workload: &str) {
    let key = Key::new(Kind::Deployment, workload);
    let mut object = world.cluster.objects[&key].clone();
    object["spec"]["template"]["spec"]["containers"][0]["image"] = json!("registry/other:latest");
    object["metadata"]["managedFields"] = json!([{
        "manager": "kubectl-set", "operation": "Update", "time": "2026-01-02T03:05:00Z",
        "fieldsV1": {"f:spec": {"f:template": {"f:spec": {"f:containers": {"k:{\"name\":\"app\"}": {"f:image": {}}}}}}},
    }]);
    assert!(world.cluster.write(&key, &object));
}

fn ready(world: &World) -> (ConditionStatus, String) {
    let conditions = world.status().conditions;
    let ready = conditions
        .iter()
        .find(|condition| condition.kind == ConditionType::Ready)
        .unwrap();
    (ready.status, ready.reason.clone())
}

fn served(steps: Value) -> (World, String) {
    let mut world = World::new(environment(canary(steps), json!({})));
    world.promote("good1");
    world.run(60);
    let workload = world.status().stable.unwrap().workload;
    (world, workload)
}

#[test]
fn a_stable_release_that_somebody_changed_is_put_back_as_it_was_recorded_and_they_are_named() {
    let (mut world, workload) = served(json!([{"weight": 50}]));
    let before = image(&world, &workload);
    set_image(&mut world, &workload);
    let plan = next(&world.env, &world.seen(), world.now);
    let told = plan
        .events
        .iter()
        .find(|event| event.reason == "WorkloadChanged")
        .unwrap();
    assert!(
        told.note.contains("kubectl-set") && told.note.contains(&workload),
        "{}",
        told.note
    );
    world.decide_once(usize::MAX);
    assert_eq!(
        ready(&world),
        (ConditionStatus::False, "WorkloadChanged".to_owned())
    );
    world.run(5);
    assert_eq!(image(&world, &workload), before);
    assert_eq!(ready(&world).0, ConditionStatus::True);
}

#[test]
fn a_candidate_that_somebody_changed_gets_no_more_requests_until_it_is_put_back() {
    let (mut world, _) = served(json!([{"weight": 50}, {"pause": {"duration": "20s"}}, {"weight": 80}]));
    world.promote("good2");
    world.run_to(50);
    let workload = world.status().rollout.unwrap().workload;
    let before = image(&world, &workload);
    world.refuses = Some(|write| write.key.kind == Kind::Deployment);
    set_image(&mut world, &workload);
    world.run(120);
    let rollout = world.status().rollout.unwrap();
    assert_eq!((rollout.reason.as_str(), rollout.weight), ("WorkloadChanged", 50));
    world.refuses = None;
    world.run(120);
    assert_eq!(image(&world, &workload), before);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn what_cannot_be_made_again_is_said_and_left_until_a_release_is_promoted_again() {
    let (mut world, workload) = served(json!([{"weight": 50}]));
    world.releases.retain(|(_, name), _| name != "good1");
    set_image(&mut world, &workload);
    world.run(30);
    assert_eq!(
        ready(&world),
        (ConditionStatus::False, "WorkloadChanged".to_owned())
    );
    assert_eq!(image(&world, &workload), "registry/other:latest");
    world.promote("good2");
    world.run(90);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert_eq!(ready(&world).0, ConditionStatus::True);
}

#[test]
fn what_is_there_as_it_was_recorded_is_not_changed_whoever_wrote_it() {
    let (mut world, workload) = served(json!([{"weight": 50}]));
    let before = image(&world, &workload);
    set_image(&mut world, &workload);
    let key = Key::new(Kind::Deployment, &workload);
    let mut restored = world.cluster.objects[&key].clone();
    restored["spec"]["template"]["spec"]["containers"][0]["image"] = json!(before);
    assert!(world.cluster.write(&key, &restored));
    world.decide_once(usize::MAX);
    assert_eq!(ready(&world).0, ConditionStatus::True);
}
