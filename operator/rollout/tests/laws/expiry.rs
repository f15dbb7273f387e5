//! Pauses and holds that people make for a time.

use dcanary_crds::Verb;
use dcanary_types::environment::EnvTransition;
use jiff::SignedDuration;
use serde_json::json;

use crate::{
    build::{canary, environment},
    world::World,
};

fn expires_in(world: &mut World, seconds: i64) {
    let end = world.now.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    world.decisions.last_mut().unwrap().spec.expires_at = Some(end);
}

fn rolling(steps: serde_json::Value) -> (World, String) {
    let mut world = World::new(environment(canary(steps), json!({})));
    world.promote("good1");
    world.run(60);
    let name = world.promote("good2");
    world.run_to(50);
    (world, name)
}

#[test]
fn a_pause_for_a_time_ends_by_itself_and_the_step_lasts_its_time_then() {
    let (mut world, name) = rolling(json!([{"weight": 50}, {"pause": {"duration": "20s"}}, {"weight": 60}]));
    world.decide(&name, Verb::Pause, "ann");
    expires_in(&mut world, 60);
    world.run(58);
    let rollout = world.status().rollout.unwrap();
    assert_eq!((rollout.reason.as_str(), rollout.weight), ("Paused", 50));
    assert!(
        rollout.message.contains("until 2026-01-02T03:0"),
        "{}",
        rollout.message
    );
    world.run(5);
    let rollout = world.status().rollout.unwrap();
    assert_eq!(
        (rollout.reason.as_str(), rollout.paused_by, rollout.paused_until),
        ("TimedPause", None, None)
    );
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn a_later_pause_without_a_time_lasts_until_a_person_goes_on() {
    let (mut world, name) = rolling(json!([{"weight": 50}, {"pause": {"duration": "5s"}}, {"weight": 60}]));
    world.decide(&name, Verb::Pause, "ann");
    expires_in(&mut world, 20);
    world.run(5);
    world.decide(&name, Verb::Pause, "bob");
    world.run(300);
    assert_eq!(world.status().rollout.unwrap().reason, "Paused");
    world.decide(&name, Verb::Resume, "bob");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn a_step_that_waits_for_a_person_waits_on_when_the_time_of_a_pause_is_over() {
    let (mut world, name) = rolling(json!([{"weight": 50}, {"pause": {}}]));
    world.decide(&name, Verb::Pause, "ann");
    expires_in(&mut world, 20);
    world.run(120);
    let rollout = world.status().rollout.unwrap();
    assert_eq!(
        (rollout.reason.as_str(), rollout.paused_by),
        ("PausedByStep", None)
    );
}

/// The release was rolled out and undone by a hold for a time.
fn held(seconds: Option<i64>) -> World {
    let (mut world, name) = rolling(json!([{"weight": 50}, {"pause": {}}]));
    let identity = world.status().rollout.unwrap().identity;
    world.decide_environment(Verb::Hold, Some(identity));
    if let Some(seconds) = seconds {
        expires_in(&mut world, seconds);
    }
    world.run(30);
    assert_eq!(world.finished(&name), Some((false, "Held".to_owned())));
    assert_eq!(world.status().held.len(), 1);
    world
}

fn released(world: &World) -> Vec<&str> {
    fn told(transition: &EnvTransition) -> Option<&str> {
        match transition {
            EnvTransition::Released { decision, .. } => Some(decision.as_str()),
            _ => None,
        }
    }
    world.chain.iter().filter_map(told).collect()
}

#[test]
fn a_hold_for_a_time_ends_by_itself_and_is_recorded_so() {
    let mut world = held(Some(120));
    world.run(120);
    assert!(world.status().held.is_empty());
    assert_eq!(released(&world), ["expired"]);
    let name = world.promote("good2");
    world.run_to(50);
    assert_eq!(world.finished(&name), None);
}

#[test]
fn a_later_hold_of_the_same_release_says_how_long_it_lasts() {
    let mut world = held(Some(120));
    let identity = world.status().held[0].identity.clone();
    world.decide_environment(Verb::Hold, Some(identity.clone()));
    world.run(300);
    assert_eq!(world.status().held.len(), 1, "for good");
    world.decide_environment(Verb::Hold, Some(identity));
    expires_in(&mut world, 10);
    world.run(60);
    assert_eq!(world.status().held.len(), 1, "what is held for good stays so");
}

#[test]
fn a_hold_without_a_time_lasts() {
    let mut world = held(None);
    world.run(600);
    assert_eq!(world.status().held.len(), 1);
    assert!(released(&world).is_empty());
}
