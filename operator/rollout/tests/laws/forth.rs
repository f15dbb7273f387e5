//! What an undo took away is no way back: it comes again like something new, unless a person decides `undo` once more.

use dcanary_crds::{Doing, Verb};
use serde_json::{Value, json};

use crate::{
    build::{canary, environment, promotion},
    world::World,
};

/// `good1` and `good2` came one after the other, and `good2` was undone. Nothing is measured as good from then on.
fn undone(more: Value) -> World {
    let steps = json!([{"weight": 50}, {"pause": {}}]);
    let mut world = World::new(environment(canary(steps), more));
    for release in ["good1", "good2"] {
        come(&mut world, release);
    }
    world.decide_environment(Verb::Undo, None);
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    world
}

/// By its steps.
fn come(world: &mut World, release: &str) {
    let name = world.promote(release);
    world.run(60);
    world.decide(&name, Verb::Resume, "ann");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some(release));
}

fn freeze(world: &mut World) {
    // the world begins at 03:04
    let window = json!([{"name": "night", "start": "0 0 * * *", "duration": "6h"}]);
    world.env.spec.freeze = serde_json::from_value(window).unwrap();
}

fn at_its_steps(world: &World) -> bool {
    let rollout = world.status().rollout.unwrap();
    assert!(!rollout.straight && !rollout.back, "{rollout:?}");
    (rollout.doing, rollout.weight) == (Doing::Stepping, 50)
}

#[test]
fn what_was_undone_takes_its_steps_again_in_the_window_and_with_undo() {
    for (more, undo) in [
        (json!({"rollback": {"window": 1}}), false),
        (json!({"rollback": {"window": 9}}), true),
        (json!({}), true),
    ] {
        let mut world = undone(more);
        let name = world.ask("good2", undo);
        world.run(60);
        assert!(at_its_steps(&world));
        // and `undo` ends it, for it goes forward
        world.decide_environment(Verb::Undo, None);
        world.run(60);
        assert_eq!(world.finished(&name), Some((false, "Undone".to_owned())));
        assert_eq!(world.stable().as_deref(), Some("good1"));
    }
}

#[test]
fn what_was_undone_runs_its_hooks_again() {
    let stage = json!([{"name": "migrate", "image": "tools", "steps": [{"run": "true"}]}]);
    let mut world = undone(json!({"hooks": {"preDeploy": stage}}));
    world.ask("good2", true);
    world.run(60);
    assert!(at_its_steps(&world));
    assert_eq!(world.status().rollout.unwrap().hooks.len(), 1);
}

#[test]
fn a_promotion_that_calls_itself_a_way_back_waits_for_a_freeze_window() {
    for release in ["good1", "good2"] {
        let mut world = undone(json!({}));
        if release == "good1" {
            come(&mut world, "good3");
        }
        freeze(&mut world);
        let name = world.ask(release, true);
        world.run(60);
        assert_eq!(world.finished(&name), None);
        assert_eq!(
            world
                .promotions
                .last()
                .unwrap()
                .status
                .clone()
                .unwrap()
                .conditions[0]
                .reason,
            "Frozen"
        );
    }
}

#[test]
fn an_undo_of_the_undo_is_as_straight_as_the_first_and_so_is_the_next() {
    let mut world = undone(json!({}));
    freeze(&mut world);
    for release in ["good2", "good1", "good2"] {
        world.decide_environment(Verb::Undo, None);
        world.run(60);
        assert_eq!(world.stable().as_deref(), Some(release));
        assert!(world.status().rollout.unwrap().straight);
    }
}

#[test]
fn which_release_is_older_does_not_change_with_going_back_and_forth() {
    for undos in 1..5 {
        let mut world = undone(json!({"rollback": {"window": 1}}));
        for _ in 1..undos {
            world.decide_environment(Verb::Undo, None);
            world.run(60);
        }
        let newer = undos % 2 == 1;
        world.promote(if newer { "good2" } else { "good1" });
        world.run(60);
        assert_eq!(world.status().rollout.unwrap().straight, !newer, "{undos}");
    }
}

#[test]
fn what_comes_again_by_its_steps_is_new_again() {
    let mut world = undone(json!({"rollback": {"window": 1}}));
    come(&mut world, "good2");
    let back = world.promote("good1");
    world.run(60);
    assert_eq!(world.finished(&back), Some((true, "Promoted".to_owned())));
    assert!(world.status().rollout.unwrap().straight);
}

#[test]
fn the_window_counts_older_releases_only() {
    let steps = json!([{"weight": 50}, {"pause": {}}]);
    let mut world = World::new(environment(canary(steps), json!({"rollback": {"window": 1}})));
    for release in ["good1", "good2", "good3"] {
        come(&mut world, release);
    }
    world.decide_environment(Verb::Undo, None);
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    let name = world.promote("good1");
    world.run(60);
    assert_eq!(world.finished(&name), Some((true, "Promoted".to_owned())));
}

#[test]
fn what_was_undone_needs_its_release_to_come_again() {
    let mut world = undone(json!({}));
    let place = ("shop".to_owned(), "good2".to_owned());
    let release = world.releases.remove(&place).unwrap();
    let identity = world.status().history[0].identity.clone();
    world.pass(1);
    let mut asked = promotion("again", "good2", world.now, true);
    asked.spec.identity = Some(identity);
    world.promotions.push(asked);
    world.run(30);
    let conditions = &world
        .promotions
        .last()
        .unwrap()
        .status
        .clone()
        .unwrap()
        .conditions;
    assert_eq!(conditions[0].reason, "ReleaseMissing");
    world.releases.insert(place, release);
    world.run(60);
    assert!(at_its_steps(&world));
}
