//! Straight paths, and each way back.

use dcanary_crds::{Doing, RolloutOutcome, Verb};
use serde_json::json;

use crate::{
    build::{canary, environment},
    world::World,
};

fn metric() -> serde_json::Value {
    json!({"metrics": [{"name": "errors", "interval": "5s", "count": 2, "success": "result < 0.1",
        "prometheus": {"address": "http://prometheus", "query": "errors{release=\"$(release)\"}"}}]})
}

fn steps() -> serde_json::Value {
    json!([{"weight": 20}, {"pause": {"duration": "10s"}}, {"analysis": metric()}, {"weight": 60}, {"pause": {"duration": "10s"}}])
}

fn with_first_release(env: dcanary_crds::Environment) -> World {
    let mut world = World::new(env);
    world.promote("good1");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    world
}

#[test]
fn a_good_release_passes_all_steps_and_becomes_stable() {
    let mut world = with_first_release(environment(canary(steps()), json!({})));
    let name = world.promote("good2");
    world.run(120);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert_eq!(world.finished(&name), Some((true, "Promoted".to_owned())));
    let workload = world.status().stable.unwrap().workload;
    assert_eq!(world.cluster.shares().get(&workload), Some(&100));
    assert_eq!(
        world.cluster.weights().get("web"),
        Some(&100),
        "at rest all goes the way of the stable Service"
    );
    let old = &world.status().history[0];
    assert_eq!(
        world.cluster.replicas(&old.workload),
        0,
        "the old release gave its Pods back"
    );
    assert_eq!(world.status().rollout.unwrap().analyses.len(), 1);
}

#[test]
fn the_candidates_service_leads_nowhere_else_while_a_gateway_may_still_send_requests_to_it() {
    let mut world = with_first_release(environment(canary(steps()), json!({})));
    let first = world.promote("good2");
    while world.finished(&first).is_none() {
        world.run(1);
    }
    let promoted = world.status().stable.unwrap().workload;
    world.promote("good3");
    // twice the time in which a gateway learns of a change: from the end on to the stable Service, and then away from the candidate's
    for second in 0..9 {
        let leads_to = world.cluster.leads_to("web-candidate");
        assert_eq!(leads_to.as_ref(), Some(&promoted), "after {second} s");
        world.run(1);
    }
    world.run(120);
    assert_eq!(world.stable().as_deref(), Some("good3"));
}

#[test]
fn a_release_that_fails_its_metrics_goes_back_and_is_held_until_it_is_let_go() {
    let mut world = with_first_release(environment(canary(steps()), json!({})));
    let name = world.promote("bad");
    world.run(120);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    assert_eq!(world.finished(&name), Some((false, "AnalysisFailed".to_owned())));
    let status = world.status();
    assert_eq!(status.held.len(), 1);
    let candidate = status.rollout.unwrap().workload;
    assert_eq!(world.cluster.replicas(&candidate), 0, "its Pods are gone");
    let again = world.promote("bad");
    world.run(30);
    assert_eq!(world.finished(&again), Some((false, "Held".to_owned())));
    let identity = status.held[0].identity.clone();
    world.decide_environment(Verb::Unhold, Some(identity));
    let third = world.promote("bad");
    world.run(5);
    assert_eq!(world.finished(&third), None, "it may come again");
}

#[test]
fn a_release_whose_pods_never_become_ready_goes_back_at_the_deadline() {
    let mut world = with_first_release(environment(canary(steps()), json!({"progressDeadline": "60s"})));
    let name = world.promote("crash");
    world.run(120);
    assert_eq!(
        world.finished(&name),
        Some((false, "ProgressDeadlineExceeded".to_owned()))
    );
    assert_eq!(world.stable().as_deref(), Some("good1"));
}

#[test]
fn a_switch_of_blue_and_green_is_one_step_and_undo_goes_straight_back() {
    let strategy = json!({"blueGreen": {"scaleDownDelay": "30s", "postPromotionAnalysis": metric()}});
    let mut world = with_first_release(environment(strategy, json!({})));
    let first = world.status().stable.unwrap();
    world.promote("good2");
    world.run(90);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    world.decide_environment(Verb::Undo, None);
    world.run(60);
    let back = world.status().stable.unwrap();
    assert_eq!(
        (back.release.as_str(), back.identity),
        ("good1", first.identity),
        "the same objects as before"
    );
    assert_eq!(
        world.status().rollout.unwrap().analyses.len(),
        0,
        "without analysis"
    );
}

#[test]
fn an_abort_takes_traffic_back_from_every_step() {
    for at in 0..60 {
        let mut world = with_first_release(environment(canary(steps()), json!({})));
        let name = world.promote("good2");
        world.run(at);
        if world.finished(&name).is_some() {
            break;
        }
        world.decide(&name, Verb::Abort, "ann");
        world.run(60);
        assert_eq!(world.stable().as_deref(), Some("good1"), "aborted after {at} s");
        assert_eq!(
            world.finished(&name),
            Some((false, "Aborted".to_owned())),
            "after {at} s"
        );
        assert!(world.status().held.is_empty(), "an abort holds nothing");
    }
}

#[test]
fn an_abort_after_the_end_of_the_promotion_that_brought_the_stable_release_goes_back() {
    let mut world = with_first_release(environment(canary(steps()), json!({})));
    let name = world.promote("good2");
    world.run(120);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    world.decide(&name, Verb::Abort, "ann");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"), "argo-rollouts #4461");
}

#[test]
fn a_newer_promotion_replaces_the_candidate_and_the_stable_release_stays() {
    let mut world = with_first_release(environment(canary(steps()), json!({})));
    let old = world.promote("good2");
    world.run(8);
    assert_eq!(world.doing(), Some(Doing::Stepping));
    let new = world.promote("good3");
    world.run(5);
    assert_eq!(world.finished(&old), Some((false, "Superseded".to_owned())));
    assert_eq!(world.stable().as_deref(), Some("good1"));
    world.run(120);
    assert_eq!(world.finished(&new), Some((true, "Promoted".to_owned())));
    assert_eq!(world.stable().as_deref(), Some("good3"));
}

#[test]
fn the_next_rollout_begins_when_the_promoted_release_has_got_all_of_its_own_way() {
    let mut world = with_first_release(environment(canary(json!([{"weight": 50}])), json!({})));
    world.promote("good2");
    while world.stable().as_deref() != Some("good2") {
        world.run(1);
    }
    let name = world.promote("good3");
    world.decide_once(usize::MAX);
    assert_ne!(world.status().rollout.unwrap().promotion, name);
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good3"));
}

#[test]
fn a_candidate_that_never_had_a_request_makes_way_at_once() {
    let mut world = with_first_release(environment(canary(json!([{"weight": 50}])), json!({})));
    world.promote("crash");
    world.run(5);
    let name = world.promote("good2");
    world.run(1);
    assert_eq!(world.status().rollout.unwrap().promotion, name);
}

#[test]
fn traffic_is_not_brought_back_onto_a_stable_release_that_is_not_ready() {
    let mut world = with_first_release(environment(canary(steps()), json!({})));
    let name = world.promote("good2");
    world.run_to(60);
    // the stable release loses its Pods
    let stable = world.status().stable.unwrap().workload;
    let key = dcanary_rollout::Key::new(dcanary_rollout::Kind::Deployment, &stable);
    let lame = |world: &mut World| {
        world.cluster.objects.get_mut(&key).unwrap()["status"]["availableReplicas"] = 0.into();
    };
    lame(&mut world);
    world.decide(&name, Verb::Abort, "ann");
    for _ in 0..20 {
        lame(&mut world);
        world.decide_once(usize::MAX);
        world.pass(1);
        let candidate = world.status().rollout.unwrap().workload;
        assert_eq!(
            world.cluster.shares().get(&candidate),
            Some(&60),
            "argo-rollouts #1774"
        );
    }
    assert!(
        world
            .status()
            .rollout
            .unwrap()
            .message
            .contains("waits for the stable release")
    );
    world.run(60);
    assert_eq!(world.outcome(), Some(RolloutOutcome::Aborted));
    assert_eq!(world.cluster.shares().get(&stable), Some(&100));
}

#[test]
fn a_rollout_stays_where_it_is_while_the_chain_is_away_and_a_rollback_does_not_wait() {
    let mut world = with_first_release(environment(canary(steps()), json!({})));
    let name = world.promote("good2");
    world.run(3);
    world.chain_away = true;
    world.run(120);
    let weight = world.status().rollout.unwrap().weight;
    assert_eq!(world.finished(&name), None);
    assert!(weight <= 20, "{weight}");
    assert!(
        world.status().rollout.unwrap().message.contains("ledger"),
        "{:?}",
        world.status().rollout
    );
    world.decide(&name, Verb::Abort, "ann");
    world.run(60);
    assert_eq!(world.finished(&name), Some((false, "Aborted".to_owned())));
    assert_eq!(world.stable().as_deref(), Some("good1"));
    world.chain_away = false;
    world.run(5);
    assert!(world.chain.len() > 5, "recorded afterwards");
}

#[test]
fn rolling_back_by_steps_passes_the_weights_in_reverse() {
    let env = environment(canary(steps()), json!({"rollback": {"mode": "Steps"}}));
    let mut world = with_first_release(env);
    let name = world.promote("good2");
    world.run_to(60);
    world.decide(&name, Verb::Abort, "ann");
    let mut seen = Vec::new();
    for _ in 0..30 {
        world.decide_once(usize::MAX);
        world.cluster.settle();
        let weight = world.cluster.weights().get("web-candidate").copied().unwrap_or(0);
        if seen.last() != Some(&weight) {
            seen.push(weight);
        }
    }
    assert_eq!(seen, [20, 0], "argo-rollouts #3888");
}

#[test]
fn configuration_goes_back_with_the_code_and_is_rolled_out_by_itself_when_it_changes() {
    use dcanary_rollout::{Key, Kind};
    let env = environment(
        canary(steps()),
        json!({"workload": {"configMaps": ["settings"], "template": {"spec": {"template": {"spec": {
        "containers": [{"name": "app", "image": "$(images.app)", "envFrom": [{"configMapRef": {"name": "settings"}}]}]}}}}}}),
    );
    let mut world = World::new(env);
    let settings = |colour: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop"}, "data": {"colour": colour}});
    let key = Key::new(Kind::ConfigMap, "settings");
    world.cluster.objects.insert(key.clone(), settings("blue"));
    world.promote("good1");
    world.run(60);
    let first = world.status().stable.unwrap().identity;
    // it is gone for a while: no rollout (flagger #989)
    world.cluster.objects.remove(&key);
    world.run(30);
    assert_eq!(world.promotions.len(), 1);
    world.cluster.objects.insert(key.clone(), settings("green"));
    world.run(120);
    assert_eq!(world.promotions.len(), 2, "the change is a promotion of its own");
    assert_ne!(world.status().stable.unwrap().identity, first);
    world.decide_environment(Verb::Undo, None);
    world.run(60);
    assert_eq!(
        world.status().stable.unwrap().identity,
        first,
        "argo-rollouts #958"
    );
    world.run(60);
    assert_eq!(
        world.status().stable.unwrap().identity,
        first,
        "and it is not rolled out again"
    );
}

#[test]
fn what_went_back_in_place_keeps_its_pods_when_the_strategy_becomes_a_canary() {
    let mut world = with_first_release(environment(
        json!({"rolling": {}}),
        json!({"progressDeadline": "60s"}),
    ));
    world.promote("crash");
    world.run(150);
    assert_eq!(world.outcome(), Some(RolloutOutcome::RolledBack));
    world.env.spec.strategy = serde_json::from_value(canary(json!([{"weight": 50}]))).unwrap();
    world.run(60);
    assert_eq!(world.cluster.shares().get("web"), Some(&100));
    assert!(world.cluster.available("web") >= 4);
    world.promote("good2");
    world.run(90);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn a_weight_has_the_pods_that_it_needs_also_where_a_step_asked_for_fewer() {
    let steps = json!([{"replicas": "50%"}, {"pause": {"duration": "3s"}}, {"weight": 89}]);
    let mut world = with_first_release(environment(canary(steps), json!({"progressDeadline": "60s"})));
    let name = world.promote("good2");
    world.run(90);
    assert_eq!(world.finished(&name), Some((true, "Promoted".to_owned())));
}

#[test]
fn an_earlier_release_that_comes_again_at_once_keeps_its_pods_until_its_last_requests_have_ended() {
    let mut world = with_first_release(environment(canary(json!([{"weight": 1}])), json!({})));
    let second = world.promote("good2");
    while world.finished(&second).is_none() {
        world.run(1);
    }
    world.run(5);
    let again = world.promote("good1");
    world.run(120);
    assert_eq!(world.finished(&again), Some((true, "Promoted".to_owned())));
}

#[test]
fn releases_that_followed_each_other_in_place_leave_the_stable_ones_pods_alone_when_the_strategy_becomes_a_canary()
 {
    let mut world = with_first_release(environment(json!({"rolling": {}}), json!({})));
    for release in ["good2", "good3"] {
        world.promote(release);
        world.run(60);
    }
    world.env.spec.strategy = serde_json::from_value(canary(json!([{"weight": 50}]))).unwrap();
    world.run(900);
    assert_eq!(world.cluster.shares().get("web"), Some(&100));
    assert!(world.cluster.available("web") >= 4);
    world.promote("good1");
    world.run(120);
}
