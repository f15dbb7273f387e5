//! Lists with an end, and what is kept of what ends early.

use dcanary_crds::{HeldRelease, RolloutOutcome, Verb};
use dcanary_rollout::{Key, Kind};
use dcanary_types::environment::EnvTransition;
use serde_json::json;

use crate::{
    build::{canary, environment},
    world::World,
};

fn identity(number: usize) -> String {
    format!("sha256:{number:064x}")
}

fn full(reason: &str) -> World {
    let steps = json!([{"weight": 50}, {"pause": {"duration": "30s"}}]);
    let mut world = World::new(environment(canary(steps), json!({"progressDeadline": "60s"})));
    world.promote("good1");
    world.run(60);
    let held = |number| HeldRelease {
        identity: identity(number),
        reason: reason.to_owned(),
        ..HeldRelease::default()
    };
    world.env.status.as_mut().unwrap().held = (0..200).map(held).collect();
    world
}

#[test]
fn where_no_more_releases_can_be_held_a_person_is_told_and_nothing_comes_free() {
    let mut world = full("Held");
    world.decide_environment(Verb::Hold, Some(identity(1000)));
    world.run(10);
    let held = world.status().held;
    assert_eq!(held.len(), 200);
    assert!(held[0].identity == identity(0) && held[199].identity == identity(199));
}

#[test]
fn a_release_that_goes_back_is_held_in_any_case_and_what_a_person_held_stays() {
    let mut world = full("Held");
    world.env.status.as_mut().unwrap().held[7].reason = "AnalysisFailed".to_owned();
    // the chain knows of it
    let mut number = [0; 32];
    number[31] = 7;
    let held = EnvTransition::Held {
        identity: number,
        reason: "AnalysisFailed".to_owned(),
        decision: None,
    };
    let machine = world.machine.as_mut().unwrap();
    machine.apply(&held, &|_, _| None).unwrap();
    world.promote("crash");
    world.run(120);
    assert_eq!(world.outcome(), Some(RolloutOutcome::RolledBack));
    let held = world.status().held;
    assert_eq!(held.len(), 200);
    assert!(held.iter().all(|held| held.identity != identity(7)));
    assert_eq!(held[199].release.as_deref(), Some("crash"));
}

#[test]
fn what_an_analysis_saw_is_kept_also_where_the_rollout_ends_before_it_is_decided() {
    let metric = json!({"metrics": [{"name": "errors", "interval": "5s", "count": 100, "success": "result < 0.1",
        "prometheus": {"address": "http://prometheus", "query": "up"}}]});
    let steps = json!([{"weight": 50}, {"analysis": metric}, {"pause": {}}]);
    for verb in [Verb::Reject, Verb::Abort, Verb::Skip] {
        let mut world = World::new(environment(canary(steps.clone()), json!({})));
        world.promote("good1");
        world.run(60);
        let name = world.promote("good2");
        world.run(40);
        world.decide(&name, verb, "bob");
        world.run(30);
        let kept = world.status().rollout.unwrap().analyses[0]
            .evidence
            .clone()
            .unwrap();
        assert!(world.evidence.contains(&kept), "{verb:?}");
        let verdicts = world
            .chain
            .iter()
            .filter(|record| matches!(record, EnvTransition::AnalysisVerdict { .. }));
        assert_eq!(verdicts.count(), 1, "{verb:?}");
        let back = world.chain.iter().find_map(|record| match record {
            EnvTransition::RolledBack { evidence, .. } => Some(evidence.is_some()),
            _ => None,
        });
        assert_eq!(back, (verb == Verb::Reject).then_some(true), "{verb:?}");
    }
}

#[test]
fn while_the_chain_is_away_records_are_put_aside_so_that_a_promotion_finds_room() {
    let mut world = World::new(environment(canary(json!([{"weight": 50}])), json!({})));
    world.promote("good1");
    world.run(60);
    world.chain_away = true;
    for number in 0..10 {
        world.promote(["good2", "good3"][number % 2]);
        world.run(40);
        let rollout = world.status().rollout.unwrap();
        assert_eq!(
            rollout.promotion,
            format!("p{}", number + 2),
            "{:?}",
            rollout.reason
        );
    }
    assert!(!world.sealed.is_empty());
    world.chain_away = false;
    world.run(90);
    assert_eq!(world.stable().as_deref(), Some("good3"));
}

#[test]
fn a_workload_that_is_replaced_in_place_has_its_disruption_budget() {
    let more = json!({"workload": {"disruptionBudget": {"minAvailable": "2"}, "template": {"spec": {"template": {"spec": {
        "containers": [{"name": "app", "image": "$(images.app)"}]}}}}}});
    let mut world = World::new(environment(json!({"rolling": {}}), more));
    world.promote("good1");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    let key = Key::new(Kind::PodDisruptionBudget, "web");
    let selector = world.cluster.objects[&key]
        .pointer("/spec/selector/matchLabels")
        .unwrap();
    assert_eq!(
        selector["dcanary.dev/release"], "web",
        "the Pods of both releases: {selector}"
    );
}
