//! A rollout waits for its route, its Services or the artifact store: on the way forward no longer than the deadline.

use dcanary_crds::{ConditionStatus, ConditionType, Doing, Rollout, RolloutOutcome, Verb};
use dcanary_rollout::{Key, Kind};
use serde_json::{Value, json};

use crate::{
    build::{canary, environment},
    world::World,
};

fn analysis(name: &str) -> Value {
    json!({"metrics": [{"name": name, "interval": "5s", "count": 2, "success": "result < 0.1",
        "prometheus": {"address": "http://prometheus", "query": "up"}}]})
}

/// `good1` is stable, and a rollout may wait for a minute.
fn with_first_release(strategy: Value) -> World {
    let mut world = World::new(environment(strategy, json!({"progressDeadline": "60s"})));
    world.promote("good1");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    world
}

fn two_weights() -> Value {
    canary(json!([{"weight": 20}, {"weight": 60}]))
}

fn rollout(world: &World) -> Rollout {
    world.status().rollout.unwrap()
}

fn condition(world: &World, kind: ConditionType) -> (ConditionStatus, String) {
    let conditions = world.status().conditions;
    let mut all = conditions.into_iter();
    let found = all.find(|condition| condition.kind == kind).unwrap();
    (found.status, found.reason)
}

/// It waits for this reason for most of the time, and goes back at the end of it. It says all of this then.
fn goes_back(world: &mut World, reason: &str, parts: &[&str]) {
    world.run(50);
    assert_eq!(rollout(world).reason, reason);
    assert_eq!(rollout(world).outcome, None);
    world.run(20);
    let rollout = rollout(world);
    assert_eq!(
        (rollout.outcome, rollout.reason.as_str()),
        (Some(RolloutOutcome::RolledBack), "ProgressDeadlineExceeded"),
        "{}",
        rollout.message
    );
    for part in parts.iter().chain(&["60 s", reason]) {
        assert!(rollout.message.contains(part), "{part}: {}", rollout.message);
    }
}

#[test]
fn a_weight_that_no_gateway_takes_over_goes_back_at_the_deadline_and_says_what_it_waited_for() {
    let mut world = with_first_release(two_weights());
    world.cluster.silent = true;
    let name = world.promote("good2");
    world.run_until(Doing::Stepping);
    goes_back(
        &mut world,
        "WaitingForRoute",
        &["has not taken up the present HTTPRoute"],
    );
    world.cluster.silent = false;
    world.run(30);
    assert_eq!(
        world.finished(&name),
        Some((false, "ProgressDeadlineExceeded".to_owned()))
    );
    assert_eq!(world.stable().as_deref(), Some("good1"));
}

#[test]
fn a_write_of_a_route_that_is_refused_goes_back_at_the_deadline() {
    let mut world = with_first_release(two_weights());
    world.refuses = Some(|write| write.key.kind == Kind::HttpRoute);
    world.promote("good2");
    world.run_until(Doing::Stepping);
    goes_back(&mut world, "Forbidden", &["it is not allowed"]);
}

#[test]
fn a_route_that_is_gone_goes_back_at_the_deadline_in_a_pause_of_the_steps_too() {
    let mut world = with_first_release(canary(json!([{"weight": 20}, {"pause": {}}])));
    world.promote("good2");
    world.run_to(20);
    world.run(2);
    assert_eq!(rollout(&world).reason, "PausedByStep");
    let route = world.env.spec.traffic.as_mut().unwrap().route.as_mut().unwrap();
    *route = serde_json::from_value(json!({"ref": {"name": "elsewhere"}})).unwrap();
    world.run(1);
    goes_back(&mut world, "RouteNotFound", &["elsewhere"]);
}

#[test]
fn each_wait_has_the_whole_time_and_one_that_ends_in_it_goes_on() {
    let pause = json!({"pause": {"duration": "5s"}});
    let mut world = with_first_release(canary(json!([{"weight": 20}, pause, {"weight": 60}, pause])));
    world.cluster.silent = true;
    let name = world.promote("good2");
    for weight in [20, 60] {
        world.cluster.silent = true;
        world.run(45);
        assert_eq!(rollout(&world).reason, "WaitingForRoute");
        world.cluster.silent = false;
        world.run_to(weight);
        assert_eq!(rollout(&world).outcome, None);
    }
    world.run(60);
    assert_eq!(world.finished(&name), Some((true, "Promoted".to_owned())));
}

#[test]
fn a_rollback_waits_for_its_route_as_long_as_it_takes() {
    let mut world = with_first_release(canary(json!([{"weight": 20}, {"pause": {}}])));
    let name = world.promote("good2");
    world.run_to(20);
    world.cluster.silent = true;
    world.decide(&name, Verb::Abort, "ann");
    world.run(300);
    let rollout = rollout(&world);
    assert_eq!(
        (rollout.doing, rollout.reason.as_str()),
        (Doing::RollingBack, "Aborted")
    );
}

#[test]
fn time_in_which_a_person_paused_it_is_none_in_which_its_route_kept_it_waiting() {
    let mut world = with_first_release(canary(json!([{"weight": 20}, {"pause": {}}])));
    let name = world.promote("good2");
    world.run_to(20);
    world.decide(&name, Verb::Pause, "ann");
    let key = Key::new(Kind::HttpRoute, "web");
    let route = world.env.spec.traffic.as_mut().unwrap().route.take();
    let gone = json!({"ref": {"name": "elsewhere"}});
    world.env.spec.traffic.as_mut().unwrap().route = Some(serde_json::from_value(gone).unwrap());
    world.run(120);
    assert_eq!(rollout(&world).outcome, None, "{}", rollout(&world).message);
    world.env.spec.traffic.as_mut().unwrap().route = route;
    world.run(5);
    assert!(world.cluster.objects.contains_key(&key));
    world.decide(&name, Verb::Resume, "ann");
    world.run(50);
    assert_eq!(rollout(&world).outcome, None, "{}", rollout(&world).message);
}

#[test]
fn what_has_its_pods_again_waits_for_its_weight_no_longer_than_the_deadline() {
    let mut world = with_first_release(canary(json!([{"weight": 20}, {"pause": {}}])));
    world.promote("good2");
    world.run_to(20);
    let candidate = rollout(&world).workload;
    world.cluster.lame.insert(candidate);
    world.run(5);
    assert_eq!(world.cluster.weights().get("web-candidate"), Some(&0));
    world.cluster.lame.clear();
    world.cluster.silent = true;
    goes_back(&mut world, "WaitingForRoute", &[]);
}

#[test]
fn evidence_that_no_store_takes_goes_back_at_the_deadline_before_all_requests_are_there() {
    let mut world = with_first_release(canary(json!([{"weight": 50}, {"analysis": analysis("errors")}])));
    world.store_away = true;
    world.promote("good2");
    world.run_to(50);
    world.run(8);
    goes_back(&mut world, "StoringEvidence", &["its evidence is being stored"]);
}

#[test]
fn a_good_release_with_all_requests_stays_while_the_store_is_away_and_is_told_as_stalled() {
    use ConditionStatus::{False, True};
    use ConditionType::{Ready, Reconciling, Stalled};
    for strategy in [
        json!({"blueGreen": {"postPromotionAnalysis": analysis("errors"), "scaleDownDelay": "10s"}}),
        canary(json!([{"weight": 50}, {"pause": {"duration": "20s"}}])),
    ] {
        let background = strategy.get("canary").is_some();
        let mut world = with_first_release(strategy);
        if background {
            world.env.spec.analysis = serde_json::from_value(analysis("errors")).unwrap();
        }
        world.store_away = true;
        let name = world.promote("good2");
        world.run_to(100);
        world.run(40);
        assert_eq!(rollout(&world).reason, "StoringEvidence", "{background}");
        assert_eq!(condition(&world, Stalled).0, False);
        world.run(40);
        let now = rollout(&world);
        assert_eq!((now.outcome, now.weight), (None, 100), "{}", now.message);
        let abort = format!("`dcanary abort {name}`");
        assert!(
            now.message.contains("60 s") && now.message.contains(&abort),
            "{}",
            now.message
        );
        assert_eq!(condition(&world, Stalled), (True, "StoringEvidence".to_owned()));
        assert_eq!(condition(&world, Reconciling).0, False, "never both");
        assert_eq!(condition(&world, Ready), (True, "Serving".to_owned()));
        world.store_away = false;
        world.run(60);
        assert_eq!(world.finished(&name), Some((true, "Promoted".to_owned())));
        assert_eq!(condition(&world, Stalled).0, False);
    }
}

#[test]
fn the_first_release_has_nothing_to_go_back_to_and_is_told_as_stalled_until_its_gateway_answers() {
    let mut world = World::new(environment(two_weights(), json!({"progressDeadline": "60s"})));
    world.cluster.silent = true;
    let name = world.promote("good1");
    world.run(120);
    assert_eq!(
        condition(&world, ConditionType::Stalled),
        (ConditionStatus::True, "WaitingForRoute".to_owned())
    );
    assert_eq!(world.cluster.available(&rollout(&world).workload), 4);
    world.cluster.silent = false;
    world.run(30);
    assert_eq!(world.finished(&name), Some((true, "Promoted".to_owned())));
}
