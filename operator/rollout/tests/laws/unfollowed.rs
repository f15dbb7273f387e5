//! While the spec is not followed, people still go back and end promotions.

use dcanary_crds::{FreezeWindow, Verb};
use serde_json::json;

use crate::{
    build::{canary, environment},
    world::World,
};

/// `good2` is stable after `good1`; then the spec gets a mistake.
fn broken(mistake: fn(&mut World)) -> World {
    let mut world = World::new(environment(canary(json!([{"weight": 50}])), json!({})));
    for release in ["good1", "good2"] {
        world.promote(release);
        world.run(60);
        assert_eq!(world.stable().as_deref(), Some(release));
    }
    mistake(&mut world);
    world
}

fn weights(world: &mut World) {
    world.env.spec.strategy =
        serde_json::from_value(canary(json!([{"weight": 50}, {"weight": 40}]))).unwrap();
}

fn window(world: &mut World) {
    let window = json!({"name": "weekend", "start": "never", "duration": "1h"});
    let window: FreezeWindow = serde_json::from_value(window).unwrap();
    world.env.spec.freeze.push(window);
}

fn analysis(world: &mut World) {
    let analysis = json!({"metrics": [{"name": "errors", "interval": "5s", "success": "result <",
        "prometheus": {"address": "http://prometheus", "query": "up"}}]});
    world.env.spec.analysis = Some(serde_json::from_value(analysis).unwrap());
}

/// What a promotion says that it waits for.
fn says(world: &World, name: &str) -> (String, String) {
    let mut all = world.promotions.iter();
    let found = all
        .find(|one| one.metadata.name.as_deref() == Some(name))
        .unwrap();
    let condition = found.status.clone().unwrap().conditions[0].clone();
    (condition.reason, condition.message)
}

#[test]
fn an_undo_and_a_late_abort_go_back_whatever_is_wrong_in_the_spec() {
    for mistake in [weights, window, analysis] {
        for abort in [false, true] {
            let mut world = broken(mistake);
            if abort {
                world.decide("p2", Verb::Abort, "ann");
            } else {
                world.decide_environment(Verb::Undo, None);
            }
            world.run(60);
            assert_eq!(world.stable().as_deref(), Some("good1"), "abort: {abort}");
            let name = world.promotions.last().unwrap().metadata.name.clone().unwrap();
            assert_eq!(world.finished(&name), Some((true, "Promoted".to_owned())));
        }
    }
}

#[test]
fn every_other_promotion_waits_and_says_what_is_wrong_until_that_is_put_right() {
    for undo in [false, true] {
        let mut world = broken(weights);
        let name = world.ask("good1", undo);
        world.run(60);
        let (reason, message) = says(&world, &name);
        assert_eq!(reason, "InvalidSpec");
        assert!(message.contains("weights must not go down"), "{message}");
        assert_eq!(world.stable().as_deref(), Some("good2"));
        world.env.spec.strategy = serde_json::from_value(canary(json!([{"weight": 50}]))).unwrap();
        world.run(60);
        assert_eq!(world.stable().as_deref(), Some("good1"));
    }
}

#[test]
fn a_promotion_that_waits_is_rejected_and_aborted_all_the_same() {
    for (verb, reason) in [(Verb::Reject, "Rejected"), (Verb::Abort, "Aborted")] {
        let mut world = broken(window);
        let name = world.promote("good3");
        world.run(5);
        world.decide(&name, verb, "bob");
        world.run(5);
        assert_eq!(world.finished(&name), Some((false, reason.to_owned())));
        assert_eq!(world.status().held.len(), usize::from(verb == Verb::Reject));
    }
}

#[test]
fn a_promotion_that_is_not_approved_in_time_ends_all_the_same() {
    let mut world = broken(|_| {});
    let approval = json!({"required": 1, "users": ["bob"], "timeout": "60s"});
    world.env.spec.approval = Some(serde_json::from_value(approval).unwrap());
    let name = world.promote("good3");
    world.run(5);
    weights(&mut world);
    world.run(30);
    assert_eq!(says(&world, &name).0, "InvalidSpec");
    world.run(30);
    assert_eq!(
        world.finished(&name),
        Some((false, "ApprovalTimedOut".to_owned()))
    );
}
