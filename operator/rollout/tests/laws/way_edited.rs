//! `traffic.route` becomes another one in the middle of a rollout.

use std::collections::BTreeMap;

use dcanary_crds::Verb;
use dcanary_rollout::{Key, Kind};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::{
    build::{canary, environment},
    cluster::weights,
    world::World,
};

fn by_ref(name: &str) -> Value {
    json!({"ref": {"name": name}})
}

fn traffic(route: &Value) -> Value {
    json!({"ports": [{"port": 80, "targetPort": 8080}], "route": route, "drain": "10s"})
}

/// A route of somebody else that leads to the Environment.
fn site(world: &mut World, name: &str) {
    let key = Key::new(Kind::HttpRoute, name);
    let object = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": name, "namespace": "shop", "managedFields": [
            {"manager": "kubectl", "operation": "Update", "time": "2026-01-02T03:04:05Z", "fieldsV1": {"f:spec": {}}},
        ]},
        "spec": {"parentRefs": [{"name": "gateway"}], "rules": [
            {"matches": [{"path": {"type": "Exact", "value": "/theirs"}}], "backendRefs": [{"name": "theirs", "port": 80}]},
            {"name": "app", "backendRefs": [{"name": "web", "port": 80}]},
        ]},
    });
    assert!(world.cluster.write(&key, &object));
    world.cluster.settle();
}

fn route<'w>(world: &'w World, name: &str) -> &'w Value {
    &world.cluster.objects[&Key::new(Kind::HttpRoute, name)]
}

/// Percent of the requests of a route for each workload, as the gateway has it.
fn shares(world: &World, name: &str) -> BTreeMap<String, i64> {
    let weights = weights(route(world, name));
    let sum: i64 = weights.values().sum();
    let mut shares = BTreeMap::new();
    for (service, weight) in weights {
        let workload = world.cluster.leads_to(&service).unwrap_or_default();
        *shares.entry(workload).or_default() += weight * 100 / sum.max(1);
    }
    shares.retain(|_, share| *share > 0);
    shares
}

fn candidate_share(world: &World, name: &str) -> i64 {
    let workload = world.status().rollout.unwrap().workload;
    shares(world, name).get(&workload).copied().unwrap_or(0)
}

fn edit(world: &mut World, traffic: &Value) {
    world.env.spec.traffic = serde_json::from_value(traffic.clone()).unwrap();
    world.env.metadata.generation = world.env.metadata.generation.map(|generation| generation + 1);
}

/// No request of a route that is there goes to a workload that has no Pods.
fn serves(world: &World) {
    for key in world
        .cluster
        .objects
        .keys()
        .filter(|key| key.kind == Kind::HttpRoute)
    {
        for (workload, share) in shares(world, &key.name) {
            let pods = world.cluster.available(&workload);
            assert!(
                pods > 0,
                "{} gives {share} % to {workload}, which has no Pods",
                key.name
            );
        }
    }
}

fn run(world: &mut World, seconds: usize) {
    for _ in 0..seconds {
        world.run(1);
        serves(world);
    }
}

/// `good1` is stable by the route `old`, `good2` has 30 percent.
fn under_way(steps: Value) -> (World, String) {
    let mut world = World::new(environment(
        canary(steps),
        json!({"traffic": traffic(&by_ref("old"))}),
    ));
    site(&mut world, "old");
    site(&mut world, "new");
    world.promote("good1");
    run(&mut world, 40);
    let name = world.promote("good2");
    world.run_to(30);
    (world, name)
}

fn paused() -> (World, String) {
    under_way(json!([{"weight": 30}, {"pause": {}}, {"weight": 60}]))
}

#[test]
fn the_old_route_is_given_back_byte_for_byte_and_the_new_one_has_the_weight() {
    let (mut world, name) = paused();
    let (theirs, rules) = (
        route(&world, "new")["spec"]["rules"][0].clone(),
        route(&world, "new")["spec"].clone(),
    );
    assert_eq!(candidate_share(&world, "old"), 30);
    edit(&mut world, &traffic(&by_ref("new")));
    run(&mut world, 10);
    assert_eq!(route(&world, "old")["spec"], rules, "nothing of ours is left");
    assert_eq!(route(&world, "new")["spec"]["rules"][0], theirs);
    assert_eq!(candidate_share(&world, "new"), 30);
    let status = world.status();
    assert_eq!(status.contest, None, "nobody changed our weights");
    assert_eq!(status.rollout.unwrap().reason, "PausedByStep");
    assert_eq!(status.routes.len(), 1);
    world.decide(&name, Verb::Resume, "ann");
    run(&mut world, 90);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert_eq!(route(&world, "old")["spec"], rules);
}

#[test]
fn a_rollback_after_the_edit_leaves_no_request_on_the_candidate_by_either_route() {
    let (mut world, name) = paused();
    edit(&mut world, &traffic(&by_ref("new")));
    world.decide(&name, Verb::Abort, "ann");
    run(&mut world, 90);
    assert!(world.finished(&name).is_some());
    for route in ["old", "new"] {
        assert_eq!(candidate_share(&world, route), 0, "{route}");
    }
    assert!(weights(route(&world, "old")).len() == 1);
}

#[test]
fn the_candidate_keeps_its_pods_until_the_gateway_follows_the_old_route_as_it_is_now() {
    let (mut world, name) = paused();
    world.cluster.silent = true;
    edit(&mut world, &traffic(&by_ref("new")));
    world.decide(&name, Verb::Abort, "ann");
    world.run(60);
    let workload = world.status().rollout.unwrap().workload;
    assert!(world.cluster.replicas(&workload) > 0);
    let rollout = world.status().rollout.unwrap();
    assert!(
        rollout.message.contains("waits for the route"),
        "{}",
        rollout.message
    );
    world.cluster.silent = false;
    run(&mut world, 60);
    assert_eq!(world.cluster.replicas(&workload), 0);
}

#[test]
fn an_adopted_route_is_given_back_when_the_environment_gets_a_route_of_its_own_or_none() {
    let none = json!({"ports": [{"port": 80, "targetPort": 8080}], "drain": "10s"});
    for traffic in [own(), none, Value::Null] {
        let (mut world, name) = paused();
        let before = route(&world, "new")["spec"].clone();
        edit(&mut world, &traffic);
        world.run(20);
        assert_eq!(route(&world, "old")["spec"], before, "{traffic}");
        world.decide(&name, Verb::Resume, "ann");
        world.run(90);
        assert_eq!(world.stable().as_deref(), Some("good2"), "{traffic}");
    }
}

#[test]
fn another_rule_of_the_same_route_has_the_weight_and_the_first_one_is_given_back() {
    let (mut world, _) = paused();
    let key = Key::new(Kind::HttpRoute, "old");
    let mut there = route(&world, "old").clone();
    let second = json!({"name": "api", "backendRefs": [{"name": "web", "port": 80}]});
    there["spec"]["rules"].as_array_mut().unwrap().push(second);
    // the Environment says which one before there are two
    edit(
        &mut world,
        &traffic(&json!({"ref": {"name": "old", "rule": "app"}})),
    );
    run(&mut world, 5);
    there["metadata"]["resourceVersion"] = route(&world, "old")["metadata"]["resourceVersion"].clone();
    assert!(world.cluster.write(&key, &there));
    run(&mut world, 5);
    edit(
        &mut world,
        &traffic(&json!({"ref": {"name": "old", "rule": "api"}})),
    );
    run(&mut world, 10);
    let rules = route(&world, "old")["spec"]["rules"].clone();
    assert_eq!(rules[1]["backendRefs"], json!([{"name": "web", "port": 80}]));
    assert_eq!(rules[2]["backendRefs"][1]["weight"], 30);
    assert_eq!(world.status().routes.len(), 1);
}

#[test]
fn a_name_that_no_route_has_holds_the_rollout_and_sends_all_requests_to_the_stable_release() {
    let (mut world, name) = paused();
    edit(&mut world, &traffic(&by_ref("olt")));
    run(&mut world, 20);
    assert_eq!(world.status().rollout.unwrap().reason, "RouteNotFound");
    assert_eq!(candidate_share(&world, "old"), 0);
    edit(&mut world, &traffic(&by_ref("old")));
    run(&mut world, 20);
    assert_eq!(candidate_share(&world, "old"), 30);
    world.decide(&name, Verb::Resume, "ann");
    run(&mut world, 90);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn requests_stay_where_they_are_while_the_stable_release_cannot_take_them() {
    let (mut world, _) = paused();
    let stable = world.status().stable.unwrap().workload;
    world.cluster.lame.insert(stable.clone());
    world.run(2);
    edit(&mut world, &traffic(&by_ref("new")));
    world.run(20);
    assert_eq!(candidate_share(&world, "old"), 30);
    world.cluster.lame.remove(&stable);
    run(&mut world, 20);
    assert_eq!(
        (candidate_share(&world, "old"), candidate_share(&world, "new")),
        (0, 30)
    );
}

#[test]
fn an_old_route_that_is_deleted_or_never_was_served_holds_nothing_up() {
    let (mut world, name) = paused();
    edit(&mut world, &traffic(&by_ref("new")));
    world.cluster.objects.remove(&Key::new(Kind::HttpRoute, "old"));
    run(&mut world, 10);
    assert_eq!(candidate_share(&world, "new"), 30);
    world.decide(&name, Verb::Resume, "ann");
    run(&mut world, 90);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn an_environment_that_is_deleted_gives_the_old_route_back_too() {
    let (mut world, _) = paused();
    let before = route(&world, "new")["spec"].clone();
    edit(&mut world, &traffic(&by_ref("new")));
    world.env.spec.deletion_policy = dcanary_crds::DeletionPolicy::Delete;
    world.delete();
    world.run(60);
    assert!(world.is_gone());
    for name in ["old", "new"] {
        assert_eq!(route(&world, name)["spec"], before, "{name}");
    }
}

/// With the route that the operator makes.
fn own() -> Value {
    traffic(&json!({"template": {"parentRefs": [{"name": "gateway"}]}}))
}

#[test]
fn a_route_of_the_operators_own_sends_nothing_to_the_candidate_while_the_new_one_is_missing() {
    let mut world = World::new(environment(
        canary(json!([{"weight": 30}, {"pause": {}}])),
        json!({"traffic": own()}),
    ));
    world.promote("good1");
    run(&mut world, 40);
    let name = world.promote("good2");
    world.run_to(30);
    edit(&mut world, &traffic(&by_ref("shop")));
    run(&mut world, 10);
    assert_eq!(candidate_share(&world, "web"), 0);
    let rollout = world.status().rollout.unwrap();
    assert_eq!((rollout.reason.as_str(), rollout.weight), ("RouteNotFound", 0));
    world.decide(&name, Verb::Abort, "ann");
    run(&mut world, 20);
    site(&mut world, "shop");
    run(&mut world, 60);
    assert!(world.finished(&name).is_some());
    assert!(
        !world
            .cluster
            .objects
            .contains_key(&Key::new(Kind::HttpRoute, "web")),
        "it is not needed any more"
    );
}

#[test]
fn a_gateway_that_is_gone_is_waited_for_no_longer_than_the_deadline_and_is_named() {
    let (mut world, name) = paused();
    world.env.spec.progress_deadline = serde_json::from_value(json!("60s")).unwrap();
    world.cluster.deaf.insert("old".to_owned());
    edit(&mut world, &traffic(&by_ref("new")));
    run(&mut world, 30);
    let rollout = world.status().rollout.unwrap();
    assert_eq!(rollout.reason, "WaitingForRoute");
    assert!(
        rollout.message.contains("HTTPRoute old") && rollout.message.contains("delete it"),
        "{}",
        rollout.message
    );
    run(&mut world, 40);
    assert_eq!(world.status().rollout.unwrap().reason, "PausedByStep");
    assert_eq!(world.status().routes.len(), 1);
    world.decide(&name, Verb::Resume, "ann");
    run(&mut world, 90);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn a_give_back_that_is_refused_says_why() {
    let (mut world, _) = paused();
    world.refuses = Some(|write| write.key.name == "old");
    edit(&mut world, &traffic(&by_ref("new")));
    world.run(10);
    let rollout = world.status().rollout.unwrap();
    assert_eq!(rollout.reason, "Forbidden");
    assert!(rollout.message.contains("HTTPRoute old"), "{}", rollout.message);
    world.refuses = None;
    world.run(20);
    assert_eq!(candidate_share(&world, "old"), 0);
}

#[test]
fn time_and_samples_count_only_from_when_the_new_route_has_the_weight() {
    let (mut world, _) =
        under_way(json!([{"weight": 30}, {"pause": {"duration": "30s"}}, {"weight": 60}, {"pause": {}}]));
    run(&mut world, 10);
    edit(&mut world, &traffic(&by_ref("shop")));
    world.run(60);
    let rollout = world.status().rollout.unwrap();
    assert_eq!(
        (rollout.step, rollout.weight, rollout.reason.as_str()),
        (1, 0, "RouteNotFound")
    );
    site(&mut world, "shop");
    world.run(25);
    assert_eq!(candidate_share(&world, "shop"), 30, "a pause of its whole length");
    world.run(20);
    assert_eq!(candidate_share(&world, "shop"), 60);
}

#[test]
fn a_rule_that_got_another_name_with_the_edit_is_given_back_all_the_same() {
    let rule = json!({"ref": {"name": "old", "rule": "app"}});
    let mut world = World::new(environment(
        canary(json!([{"weight": 30}, {"pause": {}}])),
        json!({"traffic": traffic(&rule)}),
    ));
    site(&mut world, "old");
    site(&mut world, "new");
    world.promote("good1");
    run(&mut world, 40);
    world.promote("good2");
    world.run_to(30);
    let key = Key::new(Kind::HttpRoute, "old");
    let mut there = route(&world, "old").clone();
    there["spec"]["rules"][1]["name"] = json!("renamed");
    assert!(world.cluster.write(&key, &there));
    edit(&mut world, &traffic(&by_ref("new")));
    run(&mut world, 10);
    assert_eq!(
        (candidate_share(&world, "old"), candidate_share(&world, "new")),
        (0, 30)
    );
}

#[test]
fn time_counts_no_more_while_the_route_of_a_weight_is_missing() {
    let (mut world, _) =
        under_way(json!([{"weight": 30}, {"pause": {"duration": "30s"}}, {"weight": 60}, {"pause": {}}]));
    run(&mut world, 10);
    world.cluster.objects.remove(&Key::new(Kind::HttpRoute, "old"));
    world.run(60);
    let rollout = world.status().rollout.unwrap();
    assert_eq!((rollout.step, rollout.reason.as_str()), (1, "RouteNotFound"));
    site(&mut world, "old");
    world.run(25);
    assert_eq!(candidate_share(&world, "old"), 30, "a pause of its whole length");
    world.run(20);
    assert_eq!(candidate_share(&world, "old"), 60);
}

#[test]
fn a_candidate_that_loses_its_pods_while_the_old_gateway_is_waited_for_goes_back() {
    let (mut world, name) = paused();
    world.env.spec.progress_deadline = serde_json::from_value(json!("60s")).unwrap();
    world.cluster.deaf.insert("old".to_owned());
    edit(&mut world, &traffic(&by_ref("new")));
    run(&mut world, 5);
    let workload = world.status().rollout.unwrap().workload;
    world.cluster.lame.insert(workload);
    world.run(90);
    assert_eq!(
        world.finished(&name),
        Some((false, "ProgressDeadlineExceeded".to_owned()))
    );
}

#[test]
fn requests_stay_with_who_serves_them_when_the_route_is_edited_while_nothing_stable_is_there() {
    let (mut world, name) = paused();
    let stable = world.status().stable.unwrap().workload;
    world.cluster.lame.insert(stable);
    world.run(2);
    world.decide(&name, Verb::Abort, "ann");
    world.run(5);
    assert_eq!(world.doing(), Some(dcanary_crds::Doing::RollingBack));
    edit(&mut world, &traffic(&by_ref("new")));
    world.run(5);
    world.promote("crash");
    world.run(300);
    let serves: i64 = ["old", "new"]
        .iter()
        .map(|name| {
            let shares = shares(&world, name);
            shares
                .iter()
                .filter(|(workload, _)| world.cluster.available(workload) > 0)
                .map(|(_, share)| share)
                .sum::<i64>()
        })
        .sum();
    assert!(
        serves >= 30,
        "{:?} {:?}",
        shares(&world, "old"),
        shares(&world, "new")
    );
}

fn any_route() -> impl Strategy<Value = Value> {
    prop_oneof![
        3 => Just(traffic(&by_ref("old"))),
        3 => Just(traffic(&by_ref("new"))),
        1 => Just(traffic(&json!({"ref": {"name": "new", "rule": "app"}}))),
        1 => Just(traffic(&by_ref("nowhere"))),
        2 => Just(own()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_the_route_becomes_and_whatever_is_lost_nothing_of_ours_stays_in_another(
        edits in prop::collection::vec((0_usize..25, any_route()), 1..5),
        release in prop::sample::select(vec!["good2", "crash", "bad"]),
        lost in any::<bool>(),
    ) {
        let steps = json!([{"weight": 30}, {"pause": {"duration": "10s"}}, {"weight": 60}, {"pause": {"duration": "10s"}}]);
        let mut world = World::new(environment(canary(steps), json!({"traffic": traffic(&by_ref("old"))})));
        site(&mut world, "old");
        site(&mut world, "new");
        let before = route(&world, "new")["spec"].clone();
        world.promote("good1");
        run(&mut world, 40);
        if lost {
            world.lost = Some(std::collections::BTreeSet::new());
        }
        let name = world.promote(release);
        for (seconds, traffic) in edits {
            run(&mut world, seconds);
            edit(&mut world, &traffic);
        }
        run(&mut world, 2);
        edit(&mut world, &traffic(&by_ref("new")));
        for _ in 0..40 {
            run(&mut world, 30);
            if world.finished(&name).is_some() {
                break;
            }
        }
        prop_assert!(world.finished(&name).is_some(), "{:?}", world.status().rollout);
        run(&mut world, 60);
        prop_assert_eq!(&route(&world, "old")["spec"], &before);
        prop_assert_eq!(world.status().routes.len(), 1);
        let stable = world.status().stable.unwrap().workload;
        prop_assert_eq!(shares(&world, "new").into_keys().collect::<Vec<_>>(), vec![stable]);
    }
}
