//! What people decide.

use dcanary_crds::{ConditionStatus, ConditionType, Verb};
use jiff::Timestamp;
use serde_json::json;

use crate::{
    build::{canary, environment},
    world::World,
};

fn approved_by_two() -> World {
    let more = json!({"approval": {"required": 2, "users": ["ann", "bob", "cid"]}});
    World::new(environment(canary(json!([{"weight": 50}])), more))
}

#[test]
fn a_release_waits_for_two_approvals_of_two_people_of_whom_none_asked_for_it() {
    let mut world = approved_by_two();
    let name = world.promote("good1");
    world.run(5);
    world.decide(&name, Verb::Approve, "ann");
    world.decide(&name, Verb::Approve, "bob");
    world.decide(&name, Verb::Approve, "bob");
    world.decide(&name, Verb::Approve, "mallory");
    world.run(10);
    assert_eq!(
        world.stable(),
        None,
        "ann asked, bob counts once, mallory may not"
    );
    world.decide(&name, Verb::Approve, "cid");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
}

/// Two approvals of a promotion, while the admission policies are not in place.
fn approved_without_policies() -> (World, String) {
    let mut world = approved_by_two();
    let name = world.promote("good1");
    world.run(5);
    world.policies = Err("ValidatingAdmissionPolicy dcanary-decisions is missing".to_owned());
    world.decide(&name, Verb::Approve, "bob");
    world.decide(&name, Verb::Approve, "cid");
    (world, name)
}

#[test]
fn no_decision_counts_while_the_admission_policies_are_not_in_place() {
    let (mut world, _) = approved_without_policies();
    world.run(30);
    assert_eq!(world.stable(), None);
    let conditions = world.status().conditions;
    let enforced = conditions
        .iter()
        .find(|condition| condition.kind == ConditionType::ApprovalsEnforced);
    assert_eq!(
        enforced.map(|condition| condition.status),
        Some(ConditionStatus::False)
    );
    // the watch broke off; they were there all the time
    world.policies = Ok(Timestamp::UNIX_EPOCH);
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
}

#[test]
fn what_was_decided_before_the_admission_policies_were_in_place_never_counts_and_that_is_said() {
    let (mut world, name) = approved_without_policies();
    world.run(5);
    world.policies = Ok(world.now);
    // as long as the API server may take until it enforces them
    world.run(4);
    world.decide(&name, Verb::Approve, "bob");
    world.run(30);
    assert_eq!(world.stable(), None);
    let promotion = world.promotions.first().unwrap();
    let conditions = &promotion.status.as_ref().unwrap().conditions;
    let said = conditions
        .iter()
        .find(|one| one.kind == ConditionType::Succeeded)
        .unwrap();
    assert!(said.message.contains("decide again"), "{}", said.message);
    world.decide(&name, Verb::Approve, "bob");
    world.decide(&name, Verb::Approve, "cid");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
}

#[test]
fn an_approval_counts_for_the_release_that_was_looked_at_only() {
    let mut world = approved_by_two();
    let name = world.promote("good1");
    world.run(5);
    world.decide(&name, Verb::Approve, "bob");
    world.decide(&name, Verb::Approve, "cid");
    for decision in &mut world.decisions {
        decision.spec.target.digest = Some(format!("sha256:{}", "0".repeat(64)));
    }
    world.run(30);
    assert_eq!(world.stable(), None);
}

#[test]
fn a_rejection_ends_the_wait_and_holds_the_release() {
    let mut world = approved_by_two();
    let name = world.promote("good1");
    world.run(5);
    world.decide(&name, Verb::Reject, "bob");
    world.run(5);
    assert_eq!(world.finished(&name), Some((false, "Rejected".to_owned())));
    assert_eq!(world.status().held.len(), 1);
}

#[test]
fn a_pause_stops_the_steps_and_resume_goes_on() {
    let mut world = World::new(environment(
        canary(json!([{"weight": 50}, {"pause": {"duration": "10s"}}])),
        json!({}),
    ));
    world.promote("good1");
    world.run(60);
    let name = world.promote("good2");
    world.run(5);
    world.decide(&name, Verb::Pause, "ann");
    world.run(120);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    world.decide(&name, Verb::Resume, "ann");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn a_pause_without_time_waits_for_a_person_and_skip_passes_it() {
    let mut world = World::new(environment(
        canary(json!([{"weight": 50}, {"pause": {}}, {"weight": 80}, {"pause": {}}])),
        json!({}),
    ));
    world.promote("good1");
    world.run(60);
    let name = world.promote("good2");
    world.run(60);
    assert_eq!(world.status().rollout.unwrap().weight, 50);
    world.decide(&name, Verb::Resume, "ann");
    world.run(60);
    assert_eq!(world.status().rollout.unwrap().weight, 80);
    world.decide(&name, Verb::Skip, "ann");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn a_timed_pause_is_progress_and_waits_for_no_person() {
    let steps = json!([{"weight": 50}, {"pause": {"duration": "60s"}}, {"pause": {}}]);
    let mut world = World::new(environment(canary(steps), json!({})));
    world.promote("good1");
    world.run(60);
    world.promote("good2");
    let states = |world: &World| {
        let of_environment = world.status().conditions;
        let of_promotion = world
            .promotions
            .last()
            .unwrap()
            .status
            .clone()
            .unwrap()
            .conditions;
        [of_environment, of_promotion].map(|conditions| {
            let paused = conditions
                .iter()
                .find(|condition| condition.kind == ConditionType::Paused)
                .unwrap();
            (paused.status, paused.reason.clone())
        })
    };
    world.run(20);
    let timed = (ConditionStatus::False, "TimedPause".to_owned());
    assert_eq!(states(&world), [timed.clone(), timed]);
    let message = world.status().rollout.unwrap().message;
    assert!(
        message.contains("step 2 of 3 lasts 60 s, until 2026-01-02T03:0"),
        "{message}"
    );
    world.run(60);
    let by_step = (ConditionStatus::True, "PausedByStep".to_owned());
    assert_eq!(states(&world), [by_step.clone(), by_step]);
}

#[test]
fn a_freeze_holds_up_and_an_override_goes_through() {
    // the world begins at 03:04
    let more = json!({"freeze": [{"name": "night", "start": "0 0 * * *", "duration": "6h"}]});
    let mut world = World::new(environment(canary(json!([{"weight": 50}])), more));
    let name = world.promote("good1");
    world.run(60);
    assert_eq!(world.stable(), None);
    world.decide(&name, Verb::Override, "ann");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    let other = world.promote("good2");
    world.run(60);
    assert_eq!(world.finished(&other), None);
    world.pass(3 * 3600);
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"), "the window is over");
}

#[test]
fn an_undo_in_the_middle_of_a_rollout_ends_that_and_goes_no_further_back() {
    let mut world = World::new(environment(
        canary(json!([{"weight": 50}, {"pause": {}}])),
        json!({}),
    ));
    for release in ["good1", "good2"] {
        let name = world.promote(release);
        world.run(20);
        world.decide(&name, Verb::Resume, "ann");
        world.run(60);
    }
    let name = world.promote("good3");
    world.run_to(50);
    world.decide_environment(Verb::Undo, None);
    world.run(60);
    assert_eq!(world.finished(&name), Some((false, "Undone".to_owned())));
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert_eq!(world.promotions.len(), 3, "nothing else is asked for");
}

#[test]
fn an_undo_waits_for_no_freeze_window() {
    // the world begins at 03:04
    let mut world = World::new(environment(canary(json!([{"weight": 50}])), json!({})));
    for release in ["good1", "good2"] {
        world.promote(release);
        world.run(60);
    }
    let window = json!([{"name": "night", "start": "0 0 * * *", "duration": "6h"}]);
    world.env.spec.freeze = serde_json::from_value(window).unwrap();
    world.decide_environment(Verb::Undo, None);
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
}

#[test]
fn a_release_that_is_held_on_its_way_goes_back() {
    let mut world = World::new(environment(
        canary(json!([{"weight": 50}, {"pause": {}}])),
        json!({}),
    ));
    world.promote("good1");
    world.run(60);
    let name = world.promote("good2");
    world.run_to(50);
    let identity = world.status().rollout.unwrap().identity;
    world.decide_environment(Verb::Hold, Some(identity));
    world.run(60);
    assert_eq!(world.finished(&name), Some((false, "Held".to_owned())));
    assert_eq!(world.stable().as_deref(), Some("good1"));
}

/// `good2` after `good1`, each approved.
fn approved_twice() -> (World, String) {
    let mut world = approved_by_two();
    let mut last = String::new();
    for release in ["good1", "good2"] {
        last = world.promote(release);
        world.run(5);
        world.decide(&last, Verb::Approve, "bob");
        world.decide(&last, Verb::Approve, "cid");
        world.run(60);
        assert_eq!(world.stable().as_deref(), Some(release));
    }
    (world, last)
}

#[test]
fn the_way_back_that_somebody_decided_waits_for_no_approval() {
    let (mut world, _) = approved_twice();
    world.decide_environment(Verb::Undo, None);
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    let (mut world, last) = approved_twice();
    world.decide(&last, Verb::Abort, "ann");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
}

#[test]
fn a_promotion_that_calls_itself_a_way_back_needs_its_approvals() {
    let (mut world, _) = approved_twice();
    let name = world.ask("good1", true);
    let never = world.ask("good3", true);
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert_eq!(world.finished(&never), None);
    assert_eq!(world.finished(&name), None);
}
