//! The Services of an Environment: there whenever there are Pods for them.

use dcanary_crds::Doing;
use dcanary_rollout::{Key, Kind};
use serde_json::{Value, json};

use crate::{
    build::{canary, environment},
    world::World,
};

fn selector(world: &World, service: &str) -> Option<Value> {
    let object = world.cluster.objects.get(&Key::new(Kind::Service, service))?;
    Some(object["spec"]["selector"].clone())
}

/// Labels of the Pods of a workload.
fn labels(world: &World, workload: &str) -> Value {
    let object = &world.cluster.objects[&Key::new(Kind::Deployment, workload)];
    object["spec"]["template"]["metadata"]["labels"].clone()
}

fn selects(selector: &Value, labels: &Value) -> bool {
    let mut all = selector.as_object().unwrap().iter();
    all.all(|(key, value)| labels.get(key) == Some(value))
}

#[test]
fn the_service_is_there_as_soon_as_the_first_release_has_pods_and_the_route_when_they_are_ready() {
    let traffic = json!({"traffic": {"ports": [{"port": 80}]}});
    for more in [json!({}), traffic] {
        let mut world = World::new(environment(canary(json!([{"weight": 50}])), more));
        world.promote("crash");
        world.run(5);
        let rollout = world.status().rollout.unwrap();
        assert_eq!(rollout.doing, Doing::Starting);
        let found = selector(&world, "web").expect("a Service");
        assert!(selects(&found, &labels(&world, &rollout.workload)), "{found}");
        assert!(
            world.cluster.weights().is_empty(),
            "nothing comes from outside yet"
        );
        world.promote("good1");
        world.run(60);
        let stable = world.status().stable.unwrap().workload;
        let found = selector(&world, "web").expect("a Service");
        assert!(selects(&found, &labels(&world, &stable)), "{found}");
    }
}

#[test]
fn the_service_of_a_workload_in_place_leads_to_its_pods_from_the_first_release_on() {
    for route in [
        None,
        Some(json!({"template": {"parentRefs": [{"name": "gateway"}]}})),
    ] {
        let mut traffic = json!({"ports": [{"port": 80}]});
        if let Some(route) = &route {
            traffic["route"] = route.clone();
        }
        let mut world = World::new(environment(json!({"rolling": {}}), json!({"traffic": traffic})));
        for release in ["good1", "good2"] {
            world.promote(release);
            world.run(60);
            assert_eq!(world.stable().as_deref(), Some(release));
            let found = selector(&world, "web").expect("a Service");
            assert!(selects(&found, &labels(&world, "web")), "{found}");
        }
        assert_eq!(selector(&world, "web-candidate"), None, "there is no candidate");
        let expected = route.map(|_| ("web".to_owned(), 100));
        assert_eq!(world.cluster.weights().into_iter().next(), expected);
    }
}

#[test]
fn where_the_strategy_becomes_rolling_requests_go_to_the_old_workload_until_the_new_one_is_ready() {
    let mut world = World::new(environment(canary(json!([{"weight": 50}])), json!({})));
    world.promote("good1");
    world.run(60);
    let before = world.status().stable.unwrap().workload;
    world.env.spec.strategy = serde_json::from_value(json!({"rolling": {}})).unwrap();
    world.env.metadata.generation = Some(2);
    world.run(30);
    assert_eq!(world.cluster.leads_to("web").as_ref(), Some(&before));
    world.promote("crash");
    world.run(30);
    assert_eq!(world.doing(), Some(Doing::Starting));
    assert_eq!(world.cluster.leads_to("web").as_ref(), Some(&before));
    world.promote("good2");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert_eq!(world.cluster.leads_to("web").as_deref(), Some("web"));
}

#[test]
fn the_disruption_budget_counts_the_pods_of_the_stable_release_also_where_they_are_replaced_in_place() {
    let workload = json!({"disruptionBudget": {"maxUnavailable": "1"}, "template": {"spec": {"template": {"spec": {"containers": [{"name": "app", "image": "$(images.app)"}]}}}}});
    for strategy in [json!({"rolling": {}}), canary(json!([{"weight": 50}]))] {
        let mut world = World::new(environment(strategy, json!({"workload": workload})));
        for release in ["good1", "good2"] {
            world.promote(release);
            world.run(60);
            let stable = world.status().stable.unwrap().workload;
            let budget = &world.cluster.objects[&Key::new(Kind::PodDisruptionBudget, "web")];
            let found = &budget["spec"]["selector"]["matchLabels"];
            assert!(selects(found, &labels(&world, &stable)), "{found}");
        }
    }
}
