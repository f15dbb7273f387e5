//! Decisions that nobody vouches for do nothing, and that is told.

use dcanary_core::Event;
use dcanary_crds::{Condition, ConditionStatus, ConditionType, Verb};
use dcanary_rollout::{next, seen::POLICIES_NOT_READ};
use jiff::Timestamp;
use serde_json::json;

use crate::{
    build::{canary, environment},
    world::World,
};

const MISSING: &str = "ValidatingAdmissionPolicy dcanary-decisions is missing";

/// `good2` at half of the requests, in an Environment that asks for no approval.
fn half_way() -> (World, String) {
    let mut world = World::new(environment(
        canary(json!([{"weight": 50}, {"pause": {}}])),
        json!({}),
    ));
    world.promote("good1");
    world.run(60);
    let name = world.promote("good2");
    world.run_to(50);
    (world, name)
}

/// What the next decisions tell of Decisions that do nothing, over some seconds. Each begins with the status alone, as after a restart.
fn told(world: &mut World) -> Vec<String> {
    let mut told = Vec::new();
    for _ in 0..5 {
        let events = next(&world.env, &world.seen(), world.now).events;
        let ignored = |event: &Event| event.reason == "DecisionIgnored" && event.warning;
        told.extend(events.into_iter().filter(ignored).map(|event| event.note));
        world.run(1);
    }
    told
}

fn enforced(world: &World) -> Option<Condition> {
    let conditions = world.status().conditions;
    let mut all = conditions.into_iter();
    all.find(|condition| condition.kind == ConditionType::ApprovalsEnforced)
}

#[test]
fn an_abort_without_admission_policies_is_told_once_with_its_name_why_and_what_to_do() {
    let (mut world, name) = half_way();
    world.policies = Err(MISSING.to_owned());
    world.decide(&name, Verb::Abort, "bob");
    let decision = world.decisions[0].metadata.name.clone().unwrap();
    let told = told(&mut world);
    assert_eq!(told.len(), 1, "{told:?}");
    let again = format!("`dcanary abort {name}`");
    for part in [
        decision.as_str(),
        "abort",
        "bob",
        MISSING,
        "make it again",
        &again,
    ] {
        assert!(told[0].contains(part), "{part}: {told:?}");
    }
    assert_eq!(world.finished(&name), None, "it does not count");
    let enforced = enforced(&world).unwrap();
    assert_eq!(
        (enforced.status, enforced.reason.as_str()),
        (ConditionStatus::False, "PoliciesMissing")
    );
}

#[test]
fn a_decision_from_before_the_policies_were_in_place_is_told_and_one_from_after_counts() {
    let (mut world, name) = half_way();
    world.policies = Ok(world.now);
    world.decide(&name, Verb::Abort, "bob");
    let told = told(&mut world);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("is from before") && told[0].contains("make it again"),
        "{told:?}"
    );
    assert_eq!(
        enforced(&world),
        None,
        "they are in place, and there is no approval"
    );
    world.pass(10);
    world.decide(&name, Verb::Abort, "bob");
    world.run(60);
    assert_eq!(world.finished(&name), Some((false, "Aborted".to_owned())));
}

#[test]
fn nothing_is_told_of_decisions_that_count_nor_before_the_policies_were_read() {
    let (mut world, name) = half_way();
    world.policies = Err(POLICIES_NOT_READ.to_owned());
    world.decide(&name, Verb::Abort, "bob");
    assert_eq!(told(&mut world), Vec::<String>::new());
    world.policies = Ok(Timestamp::UNIX_EPOCH);
    assert_eq!(told(&mut world), Vec::<String>::new());
    world.run(60);
    assert_eq!(world.finished(&name), Some((false, "Aborted".to_owned())));
    assert_eq!(enforced(&world), None);
}

#[test]
fn what_was_told_of_still_counts_when_the_policies_turn_out_to_have_been_there() {
    let (mut world, name) = half_way();
    world.policies = Err(MISSING.to_owned());
    world.decide(&name, Verb::Abort, "bob");
    assert_eq!(told(&mut world).len(), 1);
    // the watch broke off
    world.policies = Ok(Timestamp::UNIX_EPOCH);
    world.run(60);
    assert_eq!(world.finished(&name), Some((false, "Aborted".to_owned())));
    assert_eq!(world.status().ignored, Vec::<String>::new(), "and is forgotten");
}

#[test]
fn decisions_about_the_environment_are_told_too_and_none_that_were_carried_out_or_have_expired() {
    let (mut world, name) = half_way();
    let identity = world.status().rollout.unwrap().identity;
    // in time: carried out, or without anything left to do
    world.decide(&name, Verb::Pause, "bob");
    world.decide_environment(Verb::Hold, Some(format!("sha256:{}", "0".repeat(64))));
    world.run(2);
    world.policies = Err(MISSING.to_owned());
    world.decide(&name, Verb::Approve, "bob");
    world.decide(&name, Verb::Abort, "bob");
    let soon = world.now;
    world.decisions.last_mut().unwrap().spec.expires_at = Some(soon);
    assert_eq!(told(&mut world), Vec::<String>::new());
    assert_eq!(enforced(&world), None);
    world.decide_environment(Verb::Hold, Some(identity));
    let told = told(&mut world);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("`dcanary hold web RELEASE`"), "{told:?}");
    assert_eq!(world.status().held.len(), 1, "the first one only");
}

#[test]
fn no_more_are_remembered_than_there_is_room_for() {
    let (mut world, name) = half_way();
    world.policies = Err(MISSING.to_owned());
    for _ in 0..60 {
        world.decide(&name, Verb::Abort, "mallory");
    }
    assert_eq!(told(&mut world).len(), 50);
    world.decisions.truncate(1);
    world.run(1);
    assert_eq!(world.status().ignored.len(), 1, "the others are gone");
}
