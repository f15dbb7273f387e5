//! Mirrors, and gateways that cannot do them.

use dcanary_crds::{ConditionStatus, ConditionType, Verb};
use dcanary_rollout::{Key, Kind, seen::GatewayFeatures, traffic};
use serde_json::{Value, json};

use crate::{
    build::{canary, environment},
    world::World,
};

const MIRROR: &str = "HTTPRouteRequestMirror";
const PERCENTAGE: &str = "HTTPRouteRequestPercentageMirror";

/// The second release on its way, at a gateway that lists these.
fn on_its_way(steps: Value, listed: &[&'static str]) -> (World, String) {
    let mut world = World::new(environment(canary(steps), json!({})));
    world.gateway = Ok(listed.to_vec());
    world.promote("good1");
    world.run(40);
    let name = world.promote("good2");
    world.run(20);
    (world, name)
}

fn reason(world: &World) -> String {
    world.status().rollout.unwrap().reason
}

fn is_true(world: &World, kind: ConditionType) -> bool {
    let conditions = world.status().conditions;
    conditions
        .iter()
        .any(|condition| condition.kind == kind && condition.status == ConditionStatus::True)
}

/// Our mirror in the weighted rule.
fn mirror(world: &World) -> Option<Value> {
    let route = &world.cluster.objects[&Key::new(Kind::HttpRoute, "web")];
    let rule = route["spec"]["rules"].as_array().unwrap().last().unwrap();
    rule.pointer("/filters/0/requestMirror").cloned()
}

#[test]
fn a_mirror_that_the_gateway_does_not_list_is_refused_before_any_request_moves() {
    let steps = json!([{"weight": 20}, {"mirror": 30}, {"pause": {}}]);
    let (mut world, _) = on_its_way(steps, &["HTTPRoute"]);
    let rollout = world.status().rollout.unwrap();
    assert_eq!(
        (rollout.reason.as_str(), rollout.weight, rollout.step),
        ("MirrorUnsupported", 0, 0)
    );
    for part in [
        "spec.strategy.canary.steps[1].mirror",
        "GatewayClass class of Gateway shop/gateway",
        MIRROR,
        "take the step out",
    ] {
        assert!(rollout.message.contains(part), "{}", rollout.message);
    }
    assert!(is_true(&world, ConditionType::Paused), "a person is waited for");
    assert!(
        is_true(&world, ConditionType::Ready),
        "and the stable release serves"
    );
    assert_eq!(
        (mirror(&world), world.cluster.weights().get("web")),
        (None, Some(&100))
    );
    world.gateway = Ok(vec![MIRROR, PERCENTAGE]);
    world.run(20);
    assert_eq!(
        (reason(&world).as_str(), world.status().rollout.unwrap().weight),
        ("PausedByStep", 20)
    );
    assert_eq!(mirror(&world).unwrap()["percent"], 30);
}

#[test]
fn a_mirror_of_a_part_needs_percentages_and_one_of_all_says_none() {
    let part = json!([{"mirror": 30}, {"pause": {}}]);
    let (world, _) = on_its_way(part, &[MIRROR]);
    assert_eq!(reason(&world), "MirrorUnsupported");
    assert!(world.status().rollout.unwrap().message.contains(PERCENTAGE));
    let whole = json!([{"mirror": 100}, {"pause": {}}]);
    let (world, _) = on_its_way(whole, &[MIRROR]);
    assert_eq!(reason(&world), "PausedByStep");
    assert_eq!(mirror(&world).unwrap().get("percent"), None);
    let none = json!([{"mirror": 0}, {"pause": {}}]);
    let (world, _) = on_its_way(none, &[]);
    assert_eq!(reason(&world), "PausedByStep");
}

#[test]
fn while_it_cannot_be_read_what_a_gateway_can_do_a_rollout_waits_and_says_which_right_is_missing() {
    let steps = json!([{"mirror": 30}, {"pause": {}}]);
    let (mut world, _) = on_its_way(steps, &[]);
    world.gateway = Err("gatewayclasses is forbidden".to_owned());
    world.run(5);
    let rollout = world.status().rollout.unwrap();
    assert_eq!(rollout.reason, "GatewayUnreadable");
    for part in ["gatewayclasses is forbidden", "the verb get"] {
        assert!(rollout.message.contains(part), "{}", rollout.message);
    }
    assert!(!is_true(&world, ConditionType::Paused));
}

#[test]
fn a_rollout_with_a_mirror_that_is_refused_goes_back_and_goes_on_without_the_step() {
    let steps = json!([{"mirror": 30}, {"weight": 50}]);
    let (mut world, name) = on_its_way(steps.clone(), &[]);
    world.decide(&name, Verb::Abort, "ann");
    world.run(5);
    assert_eq!(world.finished(&name), Some((false, "Aborted".to_owned())));
    let (mut world, _) = on_its_way(steps, &[]);
    world.env.spec.strategy = serde_json::from_value(canary(json!([{"weight": 50}]))).unwrap();
    world.run(30);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn what_belongs_to_no_gateway_cannot_mirror() {
    let refused = |traffic: Value| {
        let env = environment(canary(json!([{"mirror": 30}])), json!({"traffic": traffic}));
        let world = World::new(env);
        let found = traffic::can_mirror(&world.env, &world.seen(), 0, 30);
        found.map_err(|obstacle| obstacle.reason())
    };
    let parent =
        |parent: Value| json!({"ports": [{"port": 80}], "route": {"template": {"parentRefs": [parent]}}});
    assert_eq!(refused(parent(json!({"name": "gateway"}))), Ok(()));
    assert_eq!(
        refused(parent(json!({"name": "gateway", "namespace": "other"}))),
        Err("GatewayUnreadable")
    );
    assert_eq!(
        refused(parent(json!({"name": "web", "kind": "Service", "group": ""}))),
        Err("MirrorUnsupported")
    );
    assert_eq!(refused(json!({"ports": [{"port": 80}]})), Err("RouteNeeded"));
}

#[test]
fn the_gateways_of_a_route_of_somebody_else_are_its_own() {
    let traffic = json!({"ports": [{"port": 80}], "route": {"ref": {"name": "site"}}});
    let mut world = World::new(environment(
        canary(json!([{"mirror": 30}])),
        json!({"traffic": traffic}),
    ));
    let parents = json!([{"name": "a"}, {"name": "b", "namespace": "infra"}, {"name": "c", "kind": "Service", "group": ""}]);
    let site = json!({"metadata": {"name": "site"}, "spec": {"parentRefs": parents}});
    assert!(world.cluster.write(&Key::new(Kind::HttpRoute, "site"), &site));
    let found = traffic::gateways(&world.env, &world.seen());
    let expected = [("infra", "b"), ("shop", "a")];
    assert_eq!(
        found
            .iter()
            .map(|(namespace, name)| (namespace.as_str(), name.as_str()))
            .collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn features_are_names_or_objects_with_a_name() {
    let of = |listed: Value| {
        let class = json!({"metadata": {"name": "class"}, "status": {"supportedFeatures": listed}});
        GatewayFeatures::of(&class)
            .features
            .into_iter()
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of(json!([MIRROR, {"name": PERCENTAGE}, {"other": 1}, 7])),
        [MIRROR, PERCENTAGE]
    );
    assert!(of(Value::Null).is_empty());
}
