//! Somebody else sets the weights of the route.

use dcanary_crds::{Condition, ConditionStatus, ConditionType, Doing, Verb};
use dcanary_rollout::{Key, Kind};
use serde_json::json;

use crate::{
    build::{canary, environment},
    world::World,
};

/// All requests to the stable release, as somebody's manifest has it.
fn overwrite(world: &mut World) {
    let key = Key::new(Kind::HttpRoute, "web");
    let mut route = world.cluster.objects[&key].clone();
    for backend in route["spec"]["rules"][0]["backendRefs"].as_array_mut().unwrap() {
        backend["weight"] = if backend["name"] == "web" { 100 } else { 0 }.into();
    }
    assert!(world.cluster.write(&key, &route));
}

fn contested() -> (World, String) {
    let steps = json!([{"weight": 20}, {"pause": {"duration": "30s"}}, {"weight": 60}]);
    let mut world = World::new(environment(canary(steps), json!({})));
    world.promote("good1");
    world.run(40);
    let name = world.promote("good2");
    world.run_to(20);
    for _ in 0..3 {
        overwrite(&mut world);
        world.run(3);
    }
    (world, name)
}

fn find(conditions: &[Condition], kind: ConditionType) -> (ConditionStatus, &str) {
    let found = conditions
        .iter()
        .find(|condition| condition.kind == kind)
        .unwrap();
    (found.status, found.reason.as_str())
}

#[test]
fn a_contested_route_is_told_by_one_name_everywhere_and_stops_the_steps() {
    use ConditionStatus::{False, True, Unknown};
    use ConditionType::{Paused, Progressing, Stalled, Succeeded};
    let (mut world, _) = contested();
    // longer than the step would have lasted
    world.run(40);
    let status = world.status();
    let rollout = status.rollout.unwrap();
    assert_eq!((rollout.reason.as_str(), rollout.step), ("RouteContested", 1));
    assert!(rollout.message.contains("dcanary resume"), "{}", rollout.message);
    assert_eq!(find(&status.conditions, Stalled), (True, "RouteContested"));
    assert_eq!(find(&status.conditions, Progressing), (True, "RouteContested"));
    assert_eq!(find(&status.conditions, Paused), (False, "RouteContested"));
    let promotion = world.promotions.last().unwrap().status.clone().unwrap();
    assert_eq!(
        find(&promotion.conditions, Succeeded),
        (Unknown, "RouteContested")
    );
    assert_eq!(
        world.cluster.weights().get("web-candidate"),
        Some(&0),
        "it is left to them"
    );
    world.run(300);
    assert_eq!(world.stable().as_deref(), Some("good2"), "they have been quiet");
}

#[test]
fn a_person_ends_a_contest_by_going_on_or_by_going_back() {
    for (verb, stable) in [(Verb::Resume, "good2"), (Verb::Abort, "good1")] {
        let (mut world, name) = contested();
        world.decide(&name, verb, "ann");
        world.run(60);
        assert_eq!(world.stable().as_deref(), Some(stable));
        assert!(world.finished(&name).is_some());
    }
}

/// Somebody sets the route back in the moment in which it is written: no gateway ever has it in force.
fn never_in_force(world: &mut World, rounds: usize) {
    world.cluster.silent = true;
    for _ in 0..rounds {
        world.run(2);
        overwrite(world);
    }
}

#[test]
fn a_route_that_is_set_back_before_its_weights_were_in_force_is_contested() {
    let steps = json!([{"weight": 20}, {"weight": 60}]);
    let mut world = World::new(environment(canary(steps), json!({})));
    world.promote("good1");
    world.run(40);
    world.promote("good2");
    never_in_force(&mut world, 6);
    world.run(2);
    let status = world.status();
    let rollout = status.rollout.unwrap();
    assert_eq!((rollout.reason.as_str(), rollout.weight), ("RouteContested", 0));
    assert_eq!(status.contest.unwrap().at.len(), 3);
    assert_eq!(
        find(&status.conditions, ConditionType::Stalled),
        (ConditionStatus::True, "RouteContested")
    );
}

#[test]
fn weights_that_were_never_there_are_on_their_way_and_no_contest() {
    let steps = json!([{"weight": 20}, {"weight": 60}]);
    let mut world = World::new(environment(canary(steps), json!({})));
    world.promote("good1");
    world.run(40);
    world.refuses = Some(|write| {
        write.key.kind == Kind::HttpRoute
            && write.object["spec"]["rules"][0]["backendRefs"][1]["weight"] == 20
    });
    world.promote("good2");
    for _ in 0..10 {
        world.run(2);
        let key = Key::new(Kind::HttpRoute, "web");
        let mut route = world.cluster.objects[&key].clone();
        // other people say other things of it
        route["metadata"]["annotations"] = json!({"seen": world.now.to_string()});
        assert!(world.cluster.write(&key, &route));
    }
    assert_eq!(world.status().rollout.unwrap().wanted_weight, 20);
    let contest = world.status().contest;
    assert_eq!(contest, None);
}

#[test]
fn a_route_that_is_set_back_once_counts_once_whatever_its_gateway_says_of_it() {
    let steps = json!([{"weight": 20}, {"pause": {}}]);
    let mut world = World::new(environment(canary(steps), json!({})));
    world.promote("good1");
    world.run(40);
    world.promote("good2");
    world.run_to(20);
    overwrite(&mut world);
    world.refuses = Some(|write| write.key.kind == Kind::HttpRoute);
    let key = Key::new(Kind::HttpRoute, "web");
    for _ in 0..6 {
        world.run(2);
        // its status: another version, the same generation
        let route = world.cluster.objects[&key].clone();
        assert!(world.cluster.write(&key, &route));
    }
    assert_eq!(world.status().contest.unwrap().at.len(), 1);
    world.refuses = None;
    world.run(15);
    assert_eq!(world.cluster.weights().get("web-candidate"), Some(&20));
}

/// After the switch, while it is watched, somebody has set the route back three times.
fn contested_after_the_switch(more: serde_json::Value) -> (World, String) {
    let metric = json!({"name": "up", "interval": "5s", "count": 6, "success": "result < 0.1",
        "prometheus": {"address": "http://prometheus", "query": "up"}});
    let strategy =
        json!({"blueGreen": {"scaleDownDelay": "10s", "postPromotionAnalysis": {"metrics": [metric]}}});
    let mut world = World::new(environment(strategy, more));
    world.promote("good1");
    world.run(40);
    let name = world.promote("good2");
    world.run_until(Doing::Verifying);
    for _ in 0..3 {
        overwrite(&mut world);
        world.run(3);
    }
    (world, name)
}

#[test]
fn a_route_that_is_contested_after_the_switch_promotes_nothing_and_takes_no_pods_from_the_old_release() {
    for more in [json!({}), json!({"history": {"limit": 0}})] {
        let (mut world, name) = contested_after_the_switch(more);
        let old = world.status().stable.unwrap().workload;
        // longer than everything after the switch lasts
        world.run(120);
        let rollout = world.status().rollout.unwrap();
        assert_eq!(
            (rollout.doing, rollout.reason.as_str()),
            (Doing::Verifying, "RouteContested")
        );
        assert_eq!(world.finished(&name), None);
        assert_eq!(
            world.cluster.shares().get(&old),
            Some(&100),
            "they gave it the requests"
        );
        assert_eq!(world.cluster.replicas(&old), 4);
        world.run(400);
        assert_eq!(world.finished(&name), Some((true, "Promoted".to_owned())));
        assert_eq!(world.cluster.shares().get(&old).copied().unwrap_or(0), 0);
        assert_eq!(world.cluster.replicas(&old), 0, "its Pods go in the end");
    }
}

#[test]
fn an_abort_in_a_contest_after_the_switch_goes_back_and_whoever_gives_the_candidate_requests_finds_its_pods()
{
    let (mut world, name) = contested_after_the_switch(json!({}));
    world.decide(&name, Verb::Abort, "ann");
    world.run(3);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    let candidate = world.status().rollout.unwrap().workload;
    for _ in 0..10 {
        let key = Key::new(Kind::HttpRoute, "web");
        let mut route = world.cluster.objects[&key].clone();
        for backend in route["spec"]["rules"][0]["backendRefs"].as_array_mut().unwrap() {
            backend["weight"] = if backend["name"] == "web" { 0 } else { 100 }.into();
        }
        assert!(world.cluster.write(&key, &route));
        world.run(2);
    }
    assert_eq!(
        world.cluster.weights().get("web"),
        Some(&100),
        "it is set again at once"
    );
    world.run(60);
    assert_eq!(world.cluster.replicas(&candidate), 0);
    assert_eq!(world.finished(&name), Some((false, "Aborted".to_owned())));
}

#[test]
fn a_service_that_is_switched_late_leaves_the_old_pods_their_time_and_the_new_endpoints_theirs() {
    let mut world = World::new(environment(
        json!({"blueGreen": {"scaleDownDelay": "10s"}}),
        json!({}),
    ));
    world.promote("good1");
    world.run(40);
    let first = world.status().stable.unwrap().workload;
    world.refuses = Some(|write| write.key == Key::new(Kind::Service, "web"));
    world.promote("good2");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert_eq!(world.cluster.leads_to("web").as_ref(), Some(&first));
    assert_eq!(world.cluster.replicas(&first), 4, "the Service leads to them");
    world.refuses = None;
    // the laws `before` and `settled` watch
    world.run(60);
    assert_ne!(world.cluster.leads_to("web").as_ref(), Some(&first));
    assert_eq!(world.cluster.replicas(&first), 0);
}
