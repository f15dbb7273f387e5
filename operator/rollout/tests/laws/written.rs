//! Promotions whose status cannot be written: too large for the store, or refused by somebody's admission policy.

use dcanary_crds::Verb;
use dcanary_rollout::next;
use serde_json::json;

use crate::{
    build::{canary, environment},
    world::World,
};

fn with_first_release() -> World {
    let mut world = World::new(environment(canary(json!([{"weight": 50}])), json!({})));
    world.promote("good1");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    world
}

#[test]
fn a_promotion_that_never_began_and_whose_status_cannot_be_written_holds_up_no_rollout() {
    let mut world = with_first_release();
    let stranger = world.promote("good2");
    world.unwritable.insert(stranger.clone());
    let mut metadata = world.promotions.pop().unwrap();
    metadata.metadata.namespace = Some("elsewhere".to_owned());
    let release = world.releases[&("shop".to_owned(), "good2".to_owned())].clone();
    world
        .releases
        .insert(("elsewhere".to_owned(), "good2".to_owned()), release);
    world.promotions.push(metadata);
    world.run(5);
    let ended = world.status().ended;
    assert_eq!(ended.len(), 1);
    assert_eq!(
        (ended[0].promotion.as_str(), ended[0].reason.as_str()),
        (stranger.as_str(), "NamespaceNotAllowed")
    );
    let name = world.promote("good3");
    world.run(1);
    assert_eq!(world.status().rollout.unwrap().promotion, name);
    world.run(60);
    assert_eq!(world.finished(&name), Some((true, "Promoted".to_owned())));
    assert_eq!(world.status().ended.len(), 1, "it is tried again");
    world.unwritable.clear();
    world.run(2);
    assert_eq!(
        world.finished(&stranger),
        Some((false, "NamespaceNotAllowed".to_owned()))
    );
    assert_eq!(world.status().ended.len(), 0);
}

#[test]
fn the_next_rollout_waits_a_minute_for_the_status_of_the_last_one_and_no_longer() {
    let mut world = with_first_release();
    let old = world.promote("good2");
    world.unwritable.insert(old.clone());
    while world.stable().as_deref() != Some("good2") {
        world.run(1);
    }
    let new = world.promote("good3");
    world.run(50);
    assert_eq!(
        world.status().rollout.unwrap().promotion,
        old,
        "its details are there only"
    );
    let mut told = Vec::new();
    for _ in 0..20 {
        let events = next(&world.env, &world.seen(), world.now).events;
        let unwritten = events
            .into_iter()
            .filter(|event| event.reason == "PromotionNotWritten");
        told.extend(unwritten.map(|event| event.note));
        world.run(1);
    }
    assert_eq!(world.status().rollout.unwrap().promotion, new);
    assert!(told.len() == 1 && told[0].contains(&old), "{told:?}");
    world.run(90);
    assert_eq!(world.stable().as_deref(), Some("good3"));
    // it has ended, whatever its own status says
    world.decide(&new, Verb::Abort, "ann");
    world.run(120);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    let again = world.status().rollout.unwrap().promotion;
    assert_ne!(again, old, "and is not taken up again");
}

#[test]
fn what_has_its_status_written_late_is_waited_for() {
    let mut world = with_first_release();
    let old = world.promote("good2");
    world.unwritable.insert(old.clone());
    while world.stable().as_deref() != Some("good2") {
        world.run(1);
    }
    let new = world.promote("good3");
    world.run(30);
    assert_eq!(world.status().rollout.unwrap().promotion, old);
    world.unwritable.clear();
    world.run(2);
    assert_eq!(world.finished(&old), Some((true, "Promoted".to_owned())));
    assert_eq!(world.status().rollout.unwrap().promotion, new);
}
