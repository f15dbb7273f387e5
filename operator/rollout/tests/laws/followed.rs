//! What comes by itself stands behind nothing that waits.

use dcanary_crds::Verb;
use serde_json::json;

use crate::{
    build::{canary, environment},
    ledger::after_staging,
    world::World,
};

#[test]
fn a_release_comes_by_itself_while_an_older_one_waits_for_approval_and_takes_its_place() {
    let more = json!({
        "promotesFrom": {"name": "staging", "auto": true},
        "approval": {"required": 1, "users": ["bob"]},
    });
    let mut world = World::new(environment(canary(json!([])), more));
    after_staging(&mut world, "good1", 4);
    world.run(5);
    let one = world.promotions[0].metadata.name.clone().unwrap();
    after_staging(&mut world, "good2", 4);
    world.run(5);
    assert_eq!(world.promotions.len(), 2);
    let two = world.promotions[1].metadata.name.clone().unwrap();
    world.decide(&two, Verb::Approve, "bob");
    world.run(30);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert_eq!(world.finished(&one), Some((false, "Superseded".to_owned())));
}

#[test]
fn a_release_that_a_person_has_asked_for_is_not_asked_for_again() {
    let more = json!({
        "promotesFrom": {"name": "staging", "auto": true},
        "approval": {"required": 1, "users": ["bob"]},
    });
    let mut world = World::new(environment(canary(json!([])), more));
    world.promote("good1");
    after_staging(&mut world, "good1", 4);
    world.run(5);
    assert_eq!(world.promotions.len(), 1);
}
