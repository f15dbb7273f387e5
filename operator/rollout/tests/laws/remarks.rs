//! What people read at a pause, and which Pods a disruption budget guards.

use dcanary_crds::Doing;
use dcanary_rollout::{Key, Kind};
use serde_json::json;

use crate::{
    build::{canary, environment},
    world::World,
};

fn message(world: &World) -> (String, String) {
    let rollout = world.status().rollout.unwrap();
    (rollout.reason, rollout.message)
}

#[test]
fn a_pause_before_the_first_weight_tells_of_pods_of_the_candidate_that_are_not_ready() {
    let steps = json!([{"pause": {}}, {"weight": 50}]);
    let mut world = World::new(environment(canary(steps), json!({})));
    world.promote("good1");
    world.run(60);
    world.promote("good2");
    world.run(30);
    let (reason, calm) = message(&world);
    assert_eq!(
        (reason.as_str(), calm.contains("Pods")),
        ("PausedByStep", false),
        "{calm}"
    );
    let workload = world.status().rollout.unwrap().workload;
    world.cluster.lame.insert(workload);
    world.run(5);
    let (reason, said) = message(&world);
    assert_eq!(reason, "PausedByStep");
    assert!(said.contains("0 of 1 Pods of the candidate are ready"), "{said}");
    world.cluster.lame.clear();
    world.run(5);
    assert_eq!(message(&world).1, calm);
}

#[test]
fn the_disruption_budget_guards_the_pods_that_have_all_requests_and_the_stable_ones_again_when_they_go_back()
{
    let metric = json!({"name": "errors", "initialDelay": "60s", "interval": "5s", "count": 1, "success": "result < 0.1",
        "prometheus": {"address": "http://prometheus", "query": "up"}});
    let strategy =
        json!({"blueGreen": {"scaleDownDelay": "10s", "postPromotionAnalysis": {"metrics": [metric]}}});
    let workload = json!({"disruptionBudget": {"maxUnavailable": "1"},
        "template": {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "$(images.app)"}]}}}}});
    let mut world = World::new(environment(strategy, json!({"workload": workload})));
    let guarded = |world: &World| {
        let budget = &world.cluster.objects[&Key::new(Kind::PodDisruptionBudget, "web")];
        budget["spec"]["selector"]["matchLabels"]["dcanary.dev/release"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    world.promote("good1");
    world.run(60);
    let stable = world.status().stable.unwrap().workload;
    let name = world.promote("bad");
    world.run(30);
    let rollout = world.status().rollout.unwrap();
    assert_eq!((rollout.doing, rollout.weight), (Doing::Verifying, 100));
    assert_eq!(guarded(&world), rollout.workload);
    world.run(120);
    assert_eq!(world.finished(&name), Some((false, "AnalysisFailed".to_owned())));
    assert_eq!(guarded(&world), stable);
}
