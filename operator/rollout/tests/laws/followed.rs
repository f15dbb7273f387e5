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

#[test]
fn changed_configuration_of_the_stable_release_comes_while_another_promotion_waits_and_takes_no_ones_place() {
    let mut world = World::new(environment(canary(json!([{"weight": 50}])), json!({})));
    world.promote("good1");
    world.run(60);
    world.releases.remove(&("shop".to_owned(), "good2".to_owned()));
    let waits = world.promote("good2");
    world.run(5);
    assert_eq!(world.finished(&waits), None, "there is no such release yet");
    let before = world.status().stable.unwrap().identity;
    let template = world.env.spec.workload.template.as_mut().unwrap();
    let mut changed = serde_json::to_value(&*template).unwrap();
    changed["spec"]["template"]["metadata"] = json!({"annotations": {"colour": "red"}});
    *template = serde_json::from_value(changed).unwrap();
    world.run(90);
    let stable = world.status().stable.unwrap();
    assert_eq!(stable.release, "good1");
    assert_ne!(stable.identity, before);
    assert_eq!(world.finished(&waits), None, "it still waits");
    world.releases.insert(
        ("shop".to_owned(), "good2".to_owned()),
        crate::build::release("good2"),
    );
    world.run(90);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert_eq!(world.finished(&waits), Some((true, "Promoted".to_owned())));
}
