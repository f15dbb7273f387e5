//! `progressDeadline` is about Pods that are missing, and about the time since they are.

use dcanary_crds::{Doing, Verb};
use serde_json::json;

use crate::{
    build::{canary, environment},
    world::World,
};

/// `good1` is stable, `good2` on its way, and Pods have a minute.
fn under_way(strategy: serde_json::Value) -> (World, String) {
    let mut world = World::new(environment(strategy, json!({"progressDeadline": "60s"})));
    world.promote("good1");
    world.run(60);
    let name = world.promote("good2");
    (world, name)
}

fn blip(world: &mut World) {
    let workload = world.status().rollout.unwrap().workload;
    world.cluster.lame.insert(workload);
    world.run(2);
    world.cluster.lame.clear();
}

#[test]
fn a_restart_after_a_long_wait_for_the_chain_is_no_reason_to_go_back() {
    let (mut world, name) = under_way(canary(
        json!([{"weight": 20}, {"pause": {}}, {"weight": 50}, {"pause": {}}]),
    ));
    world.run_to(20);
    world.chain_away = true;
    world.decide(&name, Verb::Resume, "ann");
    world.run(150);
    assert_eq!(world.doing(), Some(Doing::Stepping));
    blip(&mut world);
    world.run(10);
    world.chain_away = false;
    world.run(30);
    assert_eq!(world.finished(&name), None, "{:?}", world.status().rollout);
    assert_eq!(world.status().rollout.unwrap().weight, 50);
}

#[test]
fn more_replicas_after_a_long_wait_for_a_person_have_the_whole_deadline() {
    let analysis = json!({"metrics": [{"name": "errors", "interval": "5s", "count": 2, "success": "result < 0.1", "failure": "result > 9.0",
        "inconclusiveLimit": 0, "prometheus": {"address": "http://prometheus", "query": "up"}}]});
    let mut world = World::new(environment(
        canary(json!([{"weight": 50}])),
        json!({"progressDeadline": "60s", "analysis": analysis}),
    ));
    world.promote("good1");
    world.run(60);
    world.metric_away = true;
    let name = world.promote("good2");
    world.run(200);
    assert_eq!(world.finished(&name), None, "it asks a person");
    let workload = world.status().rollout.unwrap().workload;
    world.cluster.frozen.insert(workload, 4);
    world.env.spec.replicas = Some(5);
    world.run(30);
    assert_eq!(world.finished(&name), None, "{:?}", world.status().rollout);
    world.cluster.frozen.clear();
    world.run(10);
    assert_eq!(world.finished(&name), None, "{:?}", world.status().rollout);
}

#[test]
fn a_first_release_that_waits_long_for_its_gateway_outlives_a_restart() {
    let mut world = World::new(environment(
        canary(json!([{"weight": 50}])),
        json!({"progressDeadline": "60s"}),
    ));
    world.cluster.silent = true;
    let name = world.promote("good1");
    world.run(150);
    blip(&mut world);
    world.run(5);
    assert_eq!(world.finished(&name), None, "{:?}", world.status().rollout);
    world.cluster.silent = false;
    world.run(30);
    assert_eq!(world.stable().as_deref(), Some("good1"));
}

#[test]
fn pods_that_stay_away_for_the_whole_deadline_end_it() {
    let (mut world, name) = under_way(canary(json!([{"weight": 20}, {"pause": {}}, {"weight": 80}])));
    world.run_to(20);
    world.run(100);
    let workload = world.status().rollout.unwrap().workload;
    world.cluster.frozen.insert(workload, 1);
    world.decide(&name, Verb::Resume, "ann");
    world.run(50);
    assert_eq!(world.finished(&name), None);
    world.run(60);
    let over = (false, "ProgressDeadlineExceeded".to_owned());
    assert_eq!(world.finished(&name), Some(over));
}

#[test]
fn pods_that_come_and_go_beside_one_that_never_comes_do_not_put_the_deadline_off() {
    let (mut world, name) = under_way(canary(json!([{"weight": 50}, {"pause": {}}, {"weight": 100}])));
    world.run_to(50);
    world.run(5);
    let workload = world.status().rollout.unwrap().workload;
    world.cluster.frozen.insert(workload.clone(), 3);
    world.decide(&name, Verb::Resume, "ann");
    for _ in 0..6 {
        world.run(20);
        world.cluster.lame.insert(workload.clone());
        world.run(1);
        world.cluster.lame.clear();
    }
    let over = (false, "ProgressDeadlineExceeded".to_owned());
    assert_eq!(world.finished(&name), Some(over), "{:?}", world.status().rollout);
}
