//! Freeze windows that open on the way. The world begins at 03:04.

use dcanary_crds::{Doing, Verb};
use dcanary_types::environment::EnvTransition;
use serde_json::{Value, json};

use crate::{
    build::{canary, environment},
    world::World,
};

const HOUR: i64 = 3600;

fn from_four_on(steps: Value) -> World {
    let more = json!({"freeze": [{"name": "morning", "start": "0 4 * * *", "duration": "6h"}]});
    World::new(environment(canary(steps), more))
}

#[test]
fn what_waited_for_the_chain_is_not_deployed_in_a_window_that_opened_meanwhile() {
    let mut world = from_four_on(json!([{"weight": 50}]));
    world.chain_away = true;
    let name = world.promote("good1");
    world.run(3);
    assert_eq!(world.doing(), Some(Doing::Waiting));
    world.pass(HOUR);
    world.chain_away = false;
    world.run(30);
    let rollout = world.status().rollout.unwrap();
    assert_eq!((world.stable(), rollout.reason.as_str()), (None, "Frozen"));
    world.decide(&name, Verb::Override, "ann");
    world.run(30);
    assert_eq!(world.stable().as_deref(), Some("good1"));
}

#[test]
fn what_waited_in_a_window_goes_on_by_itself_when_it_is_over() {
    let mut world = from_four_on(json!([{"weight": 50}]));
    world.chain_away = true;
    world.promote("good1");
    world.run(3);
    world.pass(HOUR);
    world.chain_away = false;
    world.run(5);
    world.pass(6 * HOUR);
    world.run(30);
    assert_eq!(world.stable().as_deref(), Some("good1"));
}

#[test]
fn the_steps_of_a_rollout_under_way_go_on_in_a_window() {
    let mut world = from_four_on(json!([{"weight": 50}, {"pause": {"duration": "2h"}}]));
    world.promote("good1");
    world.run(60);
    world.promote("good2");
    world.run_to(50);
    world.pass(2 * HOUR);
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

/// What the chain holds of the freeze and what let it pass, in its order.
fn recorded(world: &World) -> Vec<String> {
    let told = |transition: &EnvTransition| match transition {
        EnvTransition::DeployRequested { promotion, .. } => Some(format!("requested {promotion}")),
        EnvTransition::DeployStarted { promotion } => Some(format!("started {promotion}")),
        EnvTransition::Frozen { promotion, window } => Some(format!("frozen {promotion} {window}")),
        EnvTransition::Overridden { promotion, by, .. } => Some(format!("overridden {promotion} {by}")),
        _ => None,
    };
    world.chain.iter().filter_map(told).collect()
}

/// Two windows after one another, from the world's beginning on: until six, and until eight.
fn two_windows() -> World {
    let more = json!({"freeze": [
        {"name": "night", "start": "0 0 * * *", "duration": "6h"}, {"name": "breakfast", "start": "30 5 * * *", "duration": "150m"},
    ]});
    World::new(environment(canary(json!([{"weight": 50}])), more))
}

#[test]
fn a_window_that_held_a_promotion_up_is_recorded_once_and_before_what_let_it_through() {
    let mut world = two_windows();
    let name = world.promote("good1");
    world.run(120);
    assert_eq!(
        recorded(&world),
        [""; 0],
        "the journal knows no promotion that is not taken up"
    );
    world.decide(&name, Verb::Override, "ann");
    world.run(60);
    let uid = world.status().stable.unwrap().promotion.unwrap();
    let expected = [
        format!("requested {uid}"),
        format!("frozen {uid} night"),
        format!("overridden {uid} ann"),
        format!("started {uid}"),
    ];
    assert_eq!(recorded(&world), expected);
    world.run(60);
    assert!(
        world.status().frozen.is_empty(),
        "nothing is remembered of what ended"
    );
}

#[test]
fn every_window_that_held_a_promotion_up_is_recorded_when_they_are_over() {
    let mut world = two_windows();
    world.promote("good1");
    world.run(5);
    world.pass(3 * HOUR);
    world.run(5);
    assert_eq!(world.stable(), None);
    world.pass(2 * HOUR);
    world.run(60);
    let uid = world.status().stable.unwrap().promotion.unwrap();
    let expected = [
        format!("requested {uid}"),
        format!("frozen {uid} night"),
        format!("frozen {uid} breakfast"),
        format!("started {uid}"),
    ];
    assert_eq!(recorded(&world), expected);
}

#[test]
fn a_window_that_opens_after_a_promotion_was_taken_up_is_recorded_once() {
    let mut world = from_four_on(json!([{"weight": 50}]));
    world.chain_away = true;
    let name = world.promote("good1");
    world.run(3);
    world.pass(HOUR);
    world.chain_away = false;
    world.run(30);
    let uid = world.status().rollout.unwrap().promotion_uid;
    let mut expected = vec![
        format!("requested {uid}"),
        format!("started {uid}"),
        format!("frozen {uid} morning"),
    ];
    assert_eq!(recorded(&world), expected);
    world.decide(&name, Verb::Override, "ann");
    world.run(30);
    expected.push(format!("overridden {uid} ann"));
    assert_eq!(recorded(&world), expected);
}

#[test]
fn a_promotion_that_nothing_held_up_records_no_window() {
    let mut world = from_four_on(json!([{"weight": 50}]));
    world.promote("good1");
    world.run(60);
    world.pass(HOUR);
    world.run(60);
    assert!(
        recorded(&world)
            .iter()
            .all(|record| !record.starts_with("frozen")),
        "{:?}",
        recorded(&world)
    );
}

#[test]
fn of_many_promotions_that_wait_in_a_window_only_the_newest_is_remembered() {
    let mut world = two_windows();
    for release in ["good1", "good2", "good3"] {
        world.promote(release);
        world.run(5);
        assert_eq!(world.status().frozen.len(), 1);
    }
    world.pass(5 * HOUR);
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good3"));
    let records = recorded(&world);
    assert_eq!(
        records
            .iter()
            .filter(|record| record.starts_with("frozen"))
            .count(),
        1,
        "{records:?}"
    );
}

#[test]
fn a_crash_after_any_decision_records_the_same_windows() {
    let told = |until: usize| {
        let mut world = two_windows();
        let name = world.promote("good1");
        for round in 0..400 {
            if round == 40 {
                world.decide(&name, Verb::Override, "ann");
            }
            world.decide_once(if round % 3 == 0 { until } else { usize::MAX });
            world.cluster.settle();
            world.record();
            if round % 4 == 3 {
                world.pass(1);
            }
        }
        assert_eq!(world.stable().as_deref(), Some("good1"));
        recorded(&world)
    };
    let whole = told(usize::MAX);
    assert_eq!(whole.len(), 4, "{whole:?}");
    for until in 0..3 {
        assert_eq!(told(until), whole, "after {until} effects");
    }
}
