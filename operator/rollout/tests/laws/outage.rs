//! Pods that go away in the middle: those of the stable release while it is gone back to, and those of a candidate that has requests.

use dcanary_crds::{Doing, RolloutOutcome, Verb};
use dcanary_rollout::Kind;
use serde_json::json;

use crate::{
    build::{canary, environment},
    world::World,
};

/// Half of the requests are on `good2`, and stay there.
fn at_half() -> (World, String) {
    let steps = json!([{"weight": 50}, {"pause": {}}]);
    let mut world = World::new(environment(canary(steps), json!({"progressDeadline": "60s"})));
    world.promote("good1");
    world.run(60);
    let name = world.promote("good2");
    world.run_to(50);
    (world, name)
}

fn stable(world: &World) -> String {
    world.status().stable.unwrap().workload
}

fn candidate(world: &World) -> String {
    world.status().rollout.unwrap().workload
}

#[test]
fn a_newer_promotion_takes_over_from_a_candidate_that_cannot_go_back() {
    let (mut world, old) = at_half();
    let (stable, failed) = (stable(&world), candidate(&world));
    world.cluster.lame.insert(stable);
    world.cluster.settle();
    let new = world.promote("good3");
    for _ in 0..30 {
        world.run(1);
        let shares = world.cluster.shares();
        let served: i64 = shares
            .iter()
            .filter(|(workload, _)| world.cluster.available(workload) > 0)
            .map(|(_, share)| share)
            .sum();
        assert!(served >= 50, "argo-rollouts #1774: {shares:?}");
    }
    world.run(60);
    assert_eq!(world.finished(&old), Some((false, "Superseded".to_owned())));
    assert_eq!(world.finished(&new), Some((true, "Promoted".to_owned())));
    assert_eq!(world.stable().as_deref(), Some("good3"));
    assert_eq!(world.status().relieved, None);
    let left = dcanary_rollout::Key::new(Kind::Deployment, &failed);
    assert!(!world.cluster.objects.contains_key(&left));
}

#[test]
fn what_took_over_and_fails_leaves_the_requests_where_they_were() {
    let (mut world, _) = at_half();
    let (stable, failed) = (stable(&world), candidate(&world));
    world.cluster.lame.insert(stable.clone());
    world.cluster.settle();
    let new = world.promote("crash");
    world.run(120);
    let rollout = world.status().rollout.unwrap();
    assert_eq!(
        (rollout.promotion.as_str(), rollout.doing),
        (new.as_str(), Doing::RollingBack)
    );
    assert_eq!(world.cluster.shares().get(&failed), Some(&50));
    let newest = world.promote("good3");
    world.run(10);
    assert_eq!(
        world.finished(&new),
        Some((false, "ProgressDeadlineExceeded".to_owned()))
    );
    world.run(60);
    assert_eq!(world.finished(&newest), Some((true, "Promoted".to_owned())));
    assert_eq!(world.status().relieved, None);
}

#[test]
fn requests_go_back_from_what_was_to_be_taken_over_when_the_stable_release_is_ready_again() {
    let (mut world, _) = at_half();
    let stable = stable(&world);
    world.cluster.lame.insert(stable.clone());
    world.cluster.settle();
    world.promote("crash");
    world.run(120);
    world.cluster.lame.clear();
    world.run(60);
    assert_eq!(world.outcome(), Some(RolloutOutcome::RolledBack));
    assert_eq!(world.cluster.shares().get(&stable), Some(&100));
    assert_eq!(world.status().relieved, None);
}

#[test]
fn the_way_back_is_measured_by_the_pods_from_before_the_rollout() {
    let (mut world, name) = at_half();
    // an autoscaler asks for more Pods in the middle of it, and these do not come up
    world.env.spec.replicas = Some(8);
    world.decide(&name, Verb::Abort, "ann");
    let key = dcanary_rollout::Key::new(Kind::Deployment, stable(&world));
    for _ in 0..30 {
        world.decide_once(usize::MAX);
        world.cluster.settle();
        world.cluster.objects.get_mut(&key).unwrap()["status"]["availableReplicas"] = 4.into();
        world.record();
        world.pass(1);
    }
    assert_eq!(world.outcome(), Some(RolloutOutcome::Aborted));
    assert_eq!(world.cluster.shares().get(&key.name), Some(&100));
}

#[test]
fn a_stable_release_of_which_some_pods_never_come_back_gets_its_requests_at_the_deadline() {
    let (mut world, name) = at_half();
    let key = dcanary_rollout::Key::new(Kind::Deployment, stable(&world));
    world.decide(&name, Verb::Abort, "ann");
    for second in 0..80 {
        world.cluster.objects.get_mut(&key).unwrap()["status"]["availableReplicas"] = 2.into();
        world.decide_once(usize::MAX);
        world.cluster.settle();
        world.pass(1);
        if second == 30 {
            assert_eq!(world.doing(), Some(Doing::RollingBack));
            assert_eq!(world.cluster.shares().get(&key.name), Some(&50));
        }
    }
    assert_eq!(world.outcome(), Some(RolloutOutcome::Aborted));
    assert_eq!(world.cluster.shares().get(&key.name), Some(&100));
}

#[test]
fn a_person_ends_the_wait_for_a_stable_release_that_is_away() {
    let (mut world, name) = at_half();
    let stable = stable(&world);
    world.cluster.lame.insert(stable.clone());
    world.cluster.settle();
    world.decide(&name, Verb::Abort, "ann");
    world.run(120);
    assert_eq!(world.doing(), Some(Doing::RollingBack), "never by itself");
    let message = world.status().rollout.unwrap().message;
    assert!(message.contains("dcanary skip"), "{message}");
    world.decide(&name, Verb::Resume, "ann");
    world.run(5);
    assert_eq!(
        world.doing(),
        Some(Doing::RollingBack),
        "that is no wish to go on"
    );
    world.decide(&name, Verb::Skip, "ann");
    world.run(20);
    assert_eq!(world.finished(&name), Some((false, "Aborted".to_owned())));
    assert_eq!(world.cluster.shares().get(&stable), Some(&100));
}

#[test]
fn a_rollback_that_cannot_change_the_route_says_so_and_keeps_the_pods_that_get_requests() {
    let (mut world, name) = at_half();
    world.refuses = Some(|write| write.key.kind == Kind::HttpRoute);
    world.decide(&name, Verb::Abort, "ann");
    world.run(20);
    world.decide(&name, Verb::Skip, "ann");
    world.run(120);
    let rollout = world.status().rollout.unwrap();
    assert_eq!(rollout.doing, Doing::RollingBack);
    for part in ["aborted", "waits for the route", "Forbidden"] {
        assert!(rollout.message.contains(part), "{}", rollout.message);
    }
    world.refuses = None;
    world.run(60);
    assert_eq!(world.outcome(), Some(RolloutOutcome::Aborted));
    let message = world.status().rollout.unwrap().message;
    assert!(!message.contains("waits"), "{message}");
}

#[test]
fn a_rollback_whose_gateway_is_gone_is_ended_by_a_person() {
    let (mut world, name) = at_half();
    world.cluster.silent = true;
    world.decide(&name, Verb::Abort, "ann");
    world.run(120);
    let rollout = world.status().rollout.unwrap();
    assert_eq!(rollout.doing, Doing::RollingBack);
    assert!(rollout.message.contains("dcanary skip"), "{}", rollout.message);
    world.decide(&name, Verb::Skip, "ann");
    world.run(20);
    assert_eq!(world.outcome(), Some(RolloutOutcome::Aborted));
}

#[test]
fn what_takes_over_is_asked_for_again_when_its_configuration_changes_before_its_pods_are_made() {
    let (mut world, _) = at_half();
    world.cluster.lame.insert(stable(&world));
    world.cluster.settle();
    world.chain_away = true;
    let name = world.promote("good3");
    world.run(5);
    assert_eq!(world.doing(), Some(Doing::Waiting));
    let template = world.env.spec.workload.template.as_mut().unwrap();
    let pod = template.spec.get_mut("template").unwrap();
    pod.pointer_mut("/spec/containers/0").unwrap()["args"] = json!(["--new"]);
    world.run(5);
    world.chain_away = false;
    world.run(90);
    assert_eq!(
        world.finished(&name),
        Some((false, "ConfigurationChanged".to_owned()))
    );
    assert_eq!(world.stable().as_deref(), Some("good3"));
    assert_eq!(world.status().relieved, None);
}

#[test]
fn a_candidate_that_dies_in_a_pause_goes_back_at_the_deadline() {
    let (mut world, name) = at_half();
    world.run(90);
    let dead = candidate(&world);
    world.cluster.lame.insert(dead);
    world.run(30);
    let rollout = world.status().rollout.unwrap();
    assert_eq!(
        (rollout.doing, rollout.reason.as_str()),
        (Doing::Stepping, "WaitingForPods")
    );
    assert_eq!(world.cluster.shares().get(&stable(&world)), Some(&100));
    world.run(60);
    assert_eq!(
        world.finished(&name),
        Some((false, "ProgressDeadlineExceeded".to_owned()))
    );
    assert_eq!(world.cluster.shares().get(&stable(&world)), Some(&100));
}

#[test]
fn a_candidate_whose_pods_restart_within_the_deadline_goes_on() {
    let (mut world, name) = at_half();
    for _ in 0..2 {
        world.cluster.lame.insert(candidate(&world));
        world.run(2);
        for _ in 0..38 {
            assert_eq!(world.cluster.shares().get(&candidate(&world)).unwrap_or(&0), &0);
            world.run(1);
        }
        world.cluster.lame.clear();
        world.cluster.settle();
        world.run(30);
        assert_eq!(world.status().rollout.unwrap().reason, "PausedByStep");
        assert_eq!(world.cluster.shares().get(&candidate(&world)), Some(&50));
    }
    world.decide(&name, Verb::Resume, "ann");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn a_candidate_that_dies_after_the_switch_leaves_the_requests_to_the_release_before() {
    let strategy = json!({"blueGreen": {"postPromotionAnalysis": {"metrics": [{"name": "errors", "interval": "5s", "count": 20,
        "success": "result < 0.1", "prometheus": {"address": "http://prometheus", "query": "errors{release=\"$(release)\"}"}}]}}});
    let mut world = World::new(environment(strategy, json!({"progressDeadline": "60s"})));
    world.promote("good1");
    world.run(60);
    let before = stable(&world);
    let name = world.promote("good2");
    world.run_to(100);
    world.cluster.lame.insert(candidate(&world));
    world.run(10);
    assert_eq!(world.cluster.shares().get(&before), Some(&100));
    world.run(70);
    assert_eq!(
        world.finished(&name),
        Some((false, "ProgressDeadlineExceeded".to_owned()))
    );
    assert_eq!(world.stable().as_deref(), Some("good1"));
}
