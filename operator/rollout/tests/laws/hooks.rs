//! Stages around a rollout whose run cannot be made, or goes.

use dcanary_crds::{Doing, Verb};
use dcanary_rollout::{Kind, Write};
use serde_json::{Value, json};

use crate::{
    build::{canary, environment},
    world::World,
};

fn with(hook: &str, steps: Value) -> World {
    let stage = json!([{"name": "migrate", "image": "tool", "steps": [{"run": "migrate up"}]}]);
    let mut world = World::new(environment(
        canary(steps),
        json!({"progressDeadline": "60s", "hooks": {hook: stage}}),
    ));
    world.promote("good1");
    world.run(30);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    world
}

fn is_run(write: &Write) -> bool {
    write.key.kind == Kind::PipelineRun
}

#[test]
fn stages_before_and_after_whose_run_is_refused_say_why_and_have_failed_at_the_deadline() {
    for (hook, doing, reason) in [
        ("preDeploy", Doing::PreDeploy, "PreDeployFailed"),
        ("postDeploy", Doing::Verifying, "PostDeployFailed"),
    ] {
        let mut world = with(hook, json!([{"weight": 50}]));
        world.refuses = Some(is_run);
        world.refused_as = "QuotaExceeded";
        let name = world.promote("good2");
        world.run(40);
        let rollout = world.status().rollout.unwrap();
        assert_eq!(rollout.doing, doing);
        assert!(rollout.message.contains("QuotaExceeded"), "{}", rollout.message);
        world.run(60);
        assert_eq!(world.finished(&name), Some((false, reason.to_owned())));
        assert_eq!(world.stable().as_deref(), Some("good1"));
    }
}

#[test]
fn stages_after_a_rollback_whose_run_is_refused_do_not_keep_it_from_ending() {
    let mut world = with("onRollback", json!([{"weight": 50}, {"pause": {}}]));
    let name = world.promote("good2");
    world.run_to(50);
    world.refuses = Some(is_run);
    world.decide(&name, Verb::Abort, "ann");
    world.run(20);
    let message = world.status().rollout.unwrap().message;
    assert!(message.contains("Forbidden"), "{message}");
    world.run(80);
    assert_eq!(world.finished(&name), Some((false, "Aborted".to_owned())));
    let message = world.status().rollout.unwrap().message;
    assert!(message.contains("could not be created within 60 s"), "{message}");
}

#[test]
fn a_run_that_was_seen_and_is_deleted_has_failed_and_is_not_made_again() {
    let mut world = with("preDeploy", json!([{"weight": 50}]));
    let name = world.promote("good2");
    let runs = |world: &World| {
        let objects = world.cluster.objects.iter();
        let runs = objects.filter(|(key, object)| {
            key.kind == Kind::PipelineRun && object.pointer("/status/conditions").is_none()
        });
        runs.map(|(key, _)| key.clone()).collect::<Vec<_>>()
    };
    // no controller of the cluster ends it
    for _ in 0..10 {
        world.decide_once(usize::MAX);
        world.record();
    }
    let [run] = runs(&world).try_into().unwrap();
    world.cluster.objects.remove(&run);
    for _ in 0..10 {
        world.decide_once(usize::MAX);
        world.record();
    }
    assert!(!world.cluster.objects.contains_key(&run), "it is not made again");
    assert_eq!(world.finished(&name), Some((false, "PreDeployFailed".to_owned())));
}
