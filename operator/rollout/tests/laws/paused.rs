//! A pause holds everything that can be held, wherever the rollout is.

use dcanary_crds::{ConditionStatus, ConditionType, Doing, Verb};
use dcanary_rollout::{Key, Kind};
use serde_json::{Value, json};

use crate::{
    build::{canary, environment},
    world::World,
};

/// With `good1` stable, and a minute for Pods to become ready.
fn with(strategy: Value) -> World {
    let mut world = World::new(environment(strategy, json!({"progressDeadline": "60s"})));
    world.promote("good1");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    world
}

fn is_paused(world: &World) -> bool {
    let conditions = world.status().conditions;
    let paused = conditions
        .iter()
        .find(|condition| condition.kind == ConditionType::Paused);
    paused.unwrap().status == ConditionStatus::True
}

#[test]
fn nothing_is_promoted_and_no_old_pod_goes_while_it_is_paused_after_the_switch() {
    let strategy = json!({"blueGreen": {"scaleDownDelay": "10s", "postPromotionAnalysis": {"metrics": [{
        "name": "errors", "interval": "5s", "count": 2, "success": "result < 0.1",
        "prometheus": {"address": "http://prometheus", "query": "up"}}]}}});
    let mut world = with(strategy);
    let before = world.status().stable.unwrap().workload;
    let name = world.promote("good2");
    world.run_until(Doing::Verifying);
    world.decide(&name, Verb::Pause, "ann");
    world.run(300);
    assert_eq!((world.doing(), is_paused(&world)), (Some(Doing::Verifying), true));
    assert_eq!(world.status().rollout.unwrap().reason, "Paused");
    assert_eq!(world.stable().as_deref(), Some("good1"));
    assert_eq!(world.cluster.replicas(&before), 4);
    world.decide(&name, Verb::Resume, "ann");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert!(!is_paused(&world));
}

#[test]
fn what_fails_after_the_switch_goes_back_in_a_pause_too() {
    let strategy = json!({"blueGreen": {"scaleDownDelay": "10s", "postPromotionAnalysis": {"metrics": [{
        "name": "errors", "initialDelay": "10s", "interval": "5s", "count": 3, "success": "result < 0.1",
        "prometheus": {"address": "http://prometheus", "query": "up"}}]}}});
    let mut world = with(strategy);
    let name = world.promote("bad");
    world.run_until(Doing::Verifying);
    world.decide(&name, Verb::Pause, "ann");
    world.run(60);
    assert_eq!(world.finished(&name), Some((false, "AnalysisFailed".to_owned())));
}

#[test]
fn the_deadline_stands_still_while_pods_come_up_in_a_pause_and_goes_on_after_it() {
    for strategy in [canary(json!([{"weight": 50}])), json!({"rolling": {}})] {
        let mut world = with(strategy);
        let name = world.promote("crash");
        world.run_until(Doing::Starting);
        world.decide(&name, Verb::Pause, "ann");
        world.run(300);
        assert_eq!((world.doing(), is_paused(&world)), (Some(Doing::Starting), true));
        world.decide(&name, Verb::Resume, "ann");
        world.run(30);
        assert_eq!((world.doing(), is_paused(&world)), (Some(Doing::Starting), false));
        world.run(60);
        let over = (false, "ProgressDeadlineExceeded".to_owned());
        assert_eq!(world.finished(&name), Some(over));
    }
}

#[test]
fn no_further_pod_is_replaced_in_place_while_it_is_paused() {
    let mut world = with(json!({"rolling": {}}));
    let key = Key::new(Kind::Deployment, "web");
    let stopped = |world: &World| world.cluster.objects[&key]["spec"].get("paused").cloned();
    let name = world.promote("good2");
    world.cluster.lame.insert("web".to_owned());
    world.run_until(Doing::Starting);
    world.run(5);
    world.decide(&name, Verb::Pause, "ann");
    world.run(5);
    assert_eq!(stopped(&world), Some(json!(true)));
    world.cluster.lame.clear();
    world.run(60);
    assert_eq!((world.doing(), is_paused(&world)), (Some(Doing::Starting), true));
    world.decide(&name, Verb::Resume, "ann");
    world.run(30);
    assert_eq!(stopped(&world), None);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn what_goes_back_in_place_is_not_stopped_by_a_pause_before_it() {
    let mut world = with(json!({"rolling": {}}));
    let name = world.promote("good2");
    world.cluster.lame.insert("web".to_owned());
    world.run_until(Doing::Starting);
    world.decide(&name, Verb::Pause, "ann");
    world.run(10);
    world.cluster.lame.clear();
    world.decide(&name, Verb::Abort, "ann");
    world.run(30);
    assert_eq!(world.finished(&name), Some((false, "Aborted".to_owned())));
    let workload = &world.cluster.objects[&Key::new(Kind::Deployment, "web")];
    assert_eq!(workload["spec"].get("paused"), None);
    let image = workload
        .pointer("/spec/template/spec/containers/0/image")
        .unwrap();
    assert!(image.as_str().unwrap().contains("good1"), "{image}");
}

#[test]
fn what_is_paused_before_it_begins_begins_with_the_resume() {
    let mut world = with(canary(json!([{"weight": 50}])));
    world.chain_away = true;
    let name = world.promote("good2");
    world.run(5);
    world.decide(&name, Verb::Pause, "ann");
    world.run(2);
    world.chain_away = false;
    world.run(60);
    assert_eq!((world.doing(), is_paused(&world)), (Some(Doing::Waiting), true));
    world.decide(&name, Verb::Resume, "ann");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn nothing_is_called_paused_that_goes_back() {
    let mut world = with(canary(json!([{"weight": 50}, {"pause": {}}])));
    let name = world.promote("good2");
    world.run(60);
    let stable = world.status().stable.unwrap().workload;
    world.cluster.lame.insert(stable);
    world.cluster.settle();
    world.decide(&name, Verb::Abort, "ann");
    world.run(2);
    world.decide(&name, Verb::Pause, "ann");
    world.run(5);
    assert_eq!(
        (world.doing(), is_paused(&world)),
        (Some(Doing::RollingBack), false)
    );
}
