//! The way back that somebody decided, and what is none.

use dcanary_crds::{Promotion, Verb};
use dcanary_rollout::wanted::name_of_undo;
use serde_json::json;

use crate::{
    build::{canary, environment, promotion},
    world::World,
};

/// `good1`, `good2` and `good3` after each other, each approved.
fn approved() -> World {
    let more = json!({"approval": {"required": 1, "users": ["bob"]}});
    let mut world = World::new(environment(canary(json!([{"weight": 50}])), more));
    for release in ["good1", "good2", "good3"] {
        let name = world.promote(release);
        world.run(5);
        world.decide(&name, Verb::Approve, "bob");
        world.run(60);
        assert_eq!(world.stable().as_deref(), Some(release));
    }
    world
}

/// A Promotion that somebody makes with the name that the operator gives to the one of this Decision.
fn forged(world: &mut World, decision: usize, release: &str) -> String {
    let uid = world.decisions[decision].metadata.uid.clone().unwrap();
    let name = name_of_undo("web", &uid);
    world.pass(1);
    let mut forged: Promotion = promotion(&name, release, world.now, true);
    forged.metadata.uid = Some(format!("uid-forged-{}", world.promotions.len()));
    world.promotions.push(forged);
    name
}

#[test]
fn a_decision_from_before_the_policies_were_in_place_lets_no_promotion_go_without_approvals() {
    let mut world = approved();
    world.policies = Err("ValidatingAdmissionPolicy dcanary-decisions is missing".to_owned());
    world.decide_environment(Verb::Undo, None);
    world.run(5);
    world.policies = Ok(world.now);
    world.run(30);
    assert_eq!(world.stable().as_deref(), Some("good3"));
    let last = world.decisions.len() - 1;
    forged(&mut world, last, "good2");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good3"));
}

#[test]
fn a_decision_is_carried_out_once_whatever_is_named_like_its_promotion_later() {
    let mut world = approved();
    world.decide_environment(Verb::Undo, None);
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    let decision = world.decisions.len() - 1;
    let made = world.promotions.pop().unwrap();
    let name = forged(&mut world, decision, "good1");
    assert_eq!(made.metadata.name, Some(name.clone()));
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert_eq!(world.finished(&name), None, "it waits for its approvals");
}

#[test]
fn a_promotion_of_another_release_than_the_decision_leads_to_needs_its_approvals() {
    let mut world = approved();
    world.decide_environment(Verb::Undo, None);
    let decision = world.decisions.len() - 1;
    // before the operator sees the Decision
    let name = forged(&mut world, decision, "good1");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good3"));
    assert_eq!(world.finished(&name), None, "it waits for its approvals");
}

#[test]
fn an_abort_of_what_became_stable_leads_back_once() {
    let mut world = approved();
    let name = world.promotions.last().unwrap().metadata.name.clone().unwrap();
    world.decide(&name, Verb::Abort, "ann");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert_eq!(world.status().ways_back, [], "it is over");
    let decision = world.decisions.len() - 1;
    world.promotions.pop();
    forged(&mut world, decision, "good1");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}
