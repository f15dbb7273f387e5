//! A newer promotion comes while a rollout is stuck on its way to all requests.

use dcanary_crds::{ConditionType, Doing, Verb};
use serde_json::{Value, json};

use crate::{
    build::{canary, environment},
    world::World,
};

fn with_first_release(strategy: Value) -> World {
    let mut world = World::new(environment(strategy, json!({})));
    world.promote("good1");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    world
}

/// Why a promotion has not ended, and what it says of it.
fn waits(world: &World, name: &str) -> (String, String) {
    let mut all = world.promotions.iter();
    let promotion = all.find(|promotion| promotion.metadata.name.as_deref() == Some(name));
    let conditions = &promotion.unwrap().status.as_ref().unwrap().conditions;
    let mut all = conditions.iter();
    let found = all
        .find(|condition| condition.kind == ConditionType::Succeeded)
        .unwrap();
    (found.reason.clone(), found.message.clone())
}

/// `good2` has all requests and is measured for a while yet.
fn measuring_after_the_switch() -> (World, String) {
    let metric = json!({"metrics": [{"name": "errors", "interval": "5s", "count": 60, "success": "result < 0.1",
        "prometheus": {"address": "http://prometheus", "query": "up"}}]});
    let mut world =
        with_first_release(json!({"blueGreen": {"postPromotionAnalysis": metric, "scaleDownDelay": "10s"}}));
    let name = world.promote("good2");
    world.run_until(Doing::Verifying);
    world.run(2);
    (world, name)
}

#[test]
fn a_promotion_that_waits_names_the_rollout_in_its_way_what_that_does_and_how_to_end_it() {
    let (mut world, old) = measuring_after_the_switch();
    let new = world.promote("good3");
    world.run(2);
    assert_eq!(world.finished(&old), None, "it has all requests");
    let (reason, message) = waits(&world, &new);
    assert_eq!(reason, "WaitingForRollout");
    let abort = format!("`dcanary abort {old}`");
    for part in ["all requests", "Analysis", "is measuring", &abort] {
        assert!(message.contains(part), "{part}: {message}");
    }
    world.decide(&old, Verb::Abort, "ann");
    world.run(60);
    assert_eq!(world.finished(&old), Some((false, "Aborted".to_owned())));
    assert_eq!(world.status().rollout.unwrap().promotion, new);
}

#[test]
fn what_goes_back_is_not_to_be_aborted_and_says_itself_how_it_ends() {
    let (mut world, old) = measuring_after_the_switch();
    world.cluster.silent = true;
    world.decide(&old, Verb::Abort, "ann");
    let new = world.promote("good3");
    world.run(2);
    assert_eq!(world.doing(), Some(Doing::RollingBack));
    let (reason, message) = waits(&world, &new);
    assert_eq!(reason, "WaitingForRollout");
    assert!(!message.contains("dcanary abort"), "{message}");
    let skip = format!("`dcanary skip {old}`");
    for part in [old.as_str(), "gone back", "Aborted", &skip] {
        assert!(message.contains(part), "{part}: {message}");
    }
}

#[test]
fn a_promotion_that_waits_for_the_last_requests_of_the_one_before_says_so() {
    let mut world = with_first_release(canary(json!([{"weight": 50}, {"pause": {}}])));
    let old = world.promote("good2");
    world.run_to(50);
    world.decide(&old, Verb::Abort, "ann");
    while world.finished(&old).is_none() {
        world.run(1);
    }
    let new = world.promote("good3");
    world.run(1);
    let (reason, message) = waits(&world, &new);
    assert_eq!(reason, "WaitingForRollout");
    assert!(
        message.contains(&old) && message.contains("last requests"),
        "{message}"
    );
}

#[test]
fn a_newer_promotion_replaces_one_whose_last_weight_never_comes_into_force() {
    let mut world = with_first_release(canary(json!([{"weight": 50}, {"pause": {}}])));
    let old = world.promote("good2");
    world.run_to(50);
    world.run(2);
    // a gateway that takes nothing over any more
    world.cluster.silent = true;
    world.decide(&old, Verb::Resume, "ann");
    world.run_until(Doing::Promoting);
    world.run(10);
    assert_eq!(world.doing(), Some(Doing::Promoting));
    assert_eq!(world.status().rollout.unwrap().weight, 50);
    let new = world.promote("good3");
    world.run(1);
    let rollout = world.status().rollout.unwrap();
    assert_eq!(
        (rollout.promotion.as_str(), rollout.doing, rollout.reason.as_str()),
        (old.as_str(), Doing::RollingBack, "Superseded")
    );
    assert_eq!(
        world.cluster.weights().get("web-candidate"),
        Some(&0),
        "asked for"
    );
    world.cluster.silent = false;
    world.run(60);
    assert_eq!(world.finished(&old), Some((false, "Superseded".to_owned())));
    let rollout = world.status().rollout.unwrap();
    assert_eq!((rollout.promotion, rollout.weight), (new, 50));
    assert_eq!(world.stable().as_deref(), Some("good1"));
}

#[test]
fn a_newer_promotion_of_the_same_release_waits_for_the_one_that_brings_it() {
    let mut world = with_first_release(canary(json!([{"weight": 50}, {"pause": {}}])));
    let old = world.promote("good2");
    world.run_to(50);
    world.run(2);
    world.cluster.silent = true;
    world.decide(&old, Verb::Resume, "ann");
    world.run_until(Doing::Promoting);
    let new = world.promote("good2");
    world.run(5);
    assert_eq!(world.finished(&old), None);
    let (reason, message) = waits(&world, &new);
    assert!(
        reason == "WaitingForRollout" && message.contains(&old),
        "{message}"
    );
    world.cluster.silent = false;
    world.run(60);
    assert_eq!(world.finished(&old), Some((true, "Promoted".to_owned())));
    assert_eq!(world.finished(&new), Some((true, "AlreadyStable".to_owned())));
}

/// The first release, up to where its gateway would have to answer.
fn first_behind_a_silent_gateway(strategy: Value) -> (World, String) {
    let mut world = World::new(environment(strategy, json!({})));
    world.cluster.silent = true;
    let name = world.promote("good1");
    world.run(10);
    assert_eq!(world.doing(), Some(Doing::Promoting));
    (world, name)
}

#[test]
fn a_newer_promotion_replaces_the_very_first_one_and_no_request_is_lost_by_it() {
    for strategy in [
        canary(json!([{"weight": 50}])),
        json!({"blueGreen": {"scaleDownDelay": "10s"}}),
        json!({"rolling": {}}),
    ] {
        let (mut world, first) = first_behind_a_silent_gateway(strategy);
        let second = world.promote("good2");
        world.run(8);
        assert_eq!(world.finished(&first), Some((false, "Superseded".to_owned())));
        assert_eq!(world.status().rollout.unwrap().promotion, second);
        // and so does one after that
        world.run(30);
        let third = world.promote("good3");
        world.run(30);
        assert_eq!(world.finished(&second), Some((false, "Superseded".to_owned())));
        world.cluster.silent = false;
        world.run(60);
        assert_eq!(world.finished(&third), Some((true, "Promoted".to_owned())));
        assert_eq!(world.stable().as_deref(), Some("good3"));
        assert_eq!(world.status().relieved, None);
        let workload = world.status().stable.unwrap().workload;
        assert_eq!(world.cluster.shares().get(&workload), Some(&100));
    }
}

#[test]
fn the_pods_of_the_first_release_stay_until_those_of_the_newer_one_have_its_requests() {
    let (mut world, _) = first_behind_a_silent_gateway(canary(json!([{"weight": 50}])));
    let old = world.status().rollout.unwrap().workload;
    world.promote("crash");
    world.run(30);
    assert_eq!(world.cluster.available(&old), 4);
    assert_eq!(world.cluster.leads_to("web"), Some(old.clone()));
    world.promote("good2");
    world.run(8);
    let new = world.status().rollout.unwrap().workload;
    assert_eq!(world.cluster.leads_to("web"), Some(new));
    assert_eq!(world.cluster.available(&old), 4, "its last requests end");
    world.cluster.silent = false;
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert_eq!(world.cluster.replicas(&old), 0);
}

#[test]
fn what_came_after_the_first_release_and_fails_takes_no_pods_from_it() {
    let (mut world, _) = first_behind_a_silent_gateway(canary(json!([{"weight": 50}])));
    world.env.spec.progress_deadline = Some(serde_json::from_value(json!("60s")).unwrap());
    let first = world.status().rollout.unwrap().workload;
    let crash = world.promote("crash");
    world.run(90);
    assert_eq!(
        world.finished(&crash),
        Some((false, "ProgressDeadlineExceeded".to_owned()))
    );
    assert_eq!(world.cluster.available(&first), 4);
    assert_eq!(world.cluster.leads_to("web"), Some(first.clone()));
    world.cluster.silent = false;
    world.promote("good2");
    world.run(90);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert_eq!(world.cluster.replicas(&first), 0);
}
