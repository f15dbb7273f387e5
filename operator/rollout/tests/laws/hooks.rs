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

/// Stages of all three kinds, after `good1` and `good2`.
fn with_all() -> World {
    let stage = json!([{"name": "migrate", "image": "tool", "steps": [{"run": "migrate up"}]}]);
    let mut world = World::new(environment(
        canary(json!([{"weight": 50}])),
        json!({"progressDeadline": "60s", "hooks": {"preDeploy": stage, "postDeploy": stage, "onRollback": stage}}),
    ));
    for release in ["good1", "good2"] {
        world.promote(release);
        world.run(60);
        assert_eq!(world.stable().as_deref(), Some(release));
    }
    world
}

/// Stages that were run, in the order of their names, with the release that each was about.
fn runs(world: &World) -> Vec<(String, String)> {
    let objects = world.cluster.objects.iter();
    let runs = objects.filter(|(key, _)| key.kind == Kind::PipelineRun);
    runs.map(|(key, run)| {
        let params = run["spec"]["params"].as_array().unwrap();
        let release = params.iter().find(|param| param["name"] == "release").unwrap();
        let kinds = ["pre", "post", "back"].into_iter();
        let kind = kinds
            .filter(|kind| key.name.contains(&format!("-{kind}-")))
            .collect();
        (kind, release["value"].as_str().unwrap_or_default().to_owned())
    })
    .collect()
}

#[test]
fn undo_runs_only_the_stages_after_a_rollback_and_these_are_about_what_is_left() {
    let mut world = with_all();
    world
        .cluster
        .objects
        .retain(|key, _| key.kind != Kind::PipelineRun);
    world.decide_environment(Verb::Undo, None);
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    assert_eq!(runs(&world), [("back".to_owned(), "good2".to_owned())]);
}

#[test]
fn stages_that_cannot_run_on_the_way_back_keep_no_known_release_away_and_hold_none() {
    let mut world = with_all();
    world.refuses = Some(is_run);
    world.decide_environment(Verb::Undo, None);
    world.run(20);
    let rollout = world.status().rollout.unwrap();
    assert_eq!((rollout.doing, rollout.weight), (Doing::Verifying, 100));
    world.run(80);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    assert!(world.status().held.is_empty());
    let message = world.status().rollout.unwrap().message;
    assert!(message.contains("an onRollback stage failed"), "{message}");
}

#[test]
fn the_same_release_forward_has_its_stages_again() {
    let mut world = with_all();
    world.decide_environment(Verb::Undo, None);
    world.run(60);
    world
        .cluster
        .objects
        .retain(|key, _| key.kind != Kind::PipelineRun);
    world.promote("good2");
    world.run(90);
    let mut kinds: Vec<String> = runs(&world).into_iter().map(|(kind, _)| kind).collect();
    kinds.sort();
    assert_eq!(kinds, ["post", "pre"]);
}
