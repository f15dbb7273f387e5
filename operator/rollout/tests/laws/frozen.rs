//! Freeze windows that open on the way. The world begins at 03:04.

use dcanary_crds::{Doing, Verb};
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
