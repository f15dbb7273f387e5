//! A route that was there before.

use dcanary_crds::{Strategy, labels};
use serde_json::{Value, json};

use super::world::{World, blue_green, canary, reference, site, wanted};
use crate::seen::{Key, Kind};

fn world(rules: &Value, rule: Option<&str>) -> World {
    World::new(canary(Vec::new()), Some(reference(rule)))
        .with(&["web-1", "web-2"])
        .with_route(site(rules))
}

fn weights(world: &World, rule: usize) -> Vec<(String, i64)> {
    let backends = world.rules()[rule]["backendRefs"].as_array().unwrap().clone();
    backends
        .iter()
        .map(|backend| {
            (
                backend["name"].as_str().unwrap().to_owned(),
                backend["weight"].as_i64().unwrap(),
            )
        })
        .collect()
}

fn pairs(all: &[(&str, i64)]) -> Vec<(String, i64)> {
    all.iter()
        .map(|(name, weight)| ((*name).to_owned(), *weight))
        .collect()
}

/// rollouts-plugin-trafficrouter-gatewayapi #217: a rule of the user's that leads to the candidate was deleted.
#[test]
fn a_rule_that_is_not_ours_stays_though_it_leads_to_the_candidate() {
    let own = json!({
        "name": "query-param-canary",
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}, "queryParams": [{"type": "Exact", "name": "canary", "value": "true"}]}],
        "backendRefs": [{"group": "", "kind": "Service", "name": "web-candidate", "port": 80, "weight": 1}],
    });
    let unnamed = json!({
        "matches": [{"path": {"type": "PathPrefix", "value": "/next"}}],
        "backendRefs": [{"group": "", "kind": "Service", "name": "web-candidate", "port": 80, "weight": 1}],
    });
    let rules = json!([{"name": "main", "backendRefs": [{"name": "web", "port": 80}]}, own, unnamed]);
    let mut world = world(&rules, None);
    for weight in [0, 30, 100, 0] {
        world.reach(&wanted("web-1", Some("web-2"), weight));
        assert_eq!(world.rules()[1..], [own.clone(), unnamed.clone()]);
    }
    world.remove();
    assert_eq!(world.rules()[1..], [own, unnamed]);
}

#[test]
fn the_candidate_is_put_beside_the_stable_backend_with_all_that_it_has() {
    let filter = json!([{"type": "RequestHeaderModifier", "requestHeaderModifier": {"set": [{"name": "a", "value": "b"}]}}]);
    let mut world = world(
        &json!([{"backendRefs": [{"name": "web", "port": 80, "filters": filter}]}]),
        None,
    );
    world.reach(&wanted("web-1", Some("web-2"), 30));
    assert_eq!(weights(&world, 0), pairs(&[("web", 70), ("web-candidate", 30)]));
    assert_eq!(world.rules()[0]["backendRefs"][1]["filters"], filter);
}

#[test]
fn other_backends_of_the_rule_keep_their_weights_and_ours_share_what_the_stable_one_had() {
    let backends =
        json!([{"name": "legacy", "port": 80, "weight": 600}, {"name": "web", "port": 80, "weight": 400}]);
    let mut world = world(&json!([{"backendRefs": backends}]), None);
    world.reach(&wanted("web-1", Some("web-2"), 10));
    assert_eq!(
        weights(&world, 0),
        pairs(&[("legacy", 600), ("web", 360), ("web-candidate", 40)])
    );
    world.reach(&wanted("web-1", Some("web-2"), 100));
    assert_eq!(
        weights(&world, 0),
        pairs(&[("legacy", 600), ("web", 0), ("web-candidate", 400)])
    );
    world.remove();
    assert_eq!(weights(&world, 0), pairs(&[("legacy", 600), ("web", 400)]));
}

#[test]
fn a_weight_that_cannot_be_split_by_percent_is_refused_before_the_first_step() {
    let backends = json!([{"name": "legacy", "port": 80}, {"name": "web", "port": 80}]);
    let mut world = world(&json!([{"backendRefs": backends}]), None);
    let said = world.reason(&wanted("web-1", None, 0));
    assert!(
        said.starts_with("BackendNotFound: Service web has weight 1 beside other backends"),
        "{said}"
    );
    // A switch needs no more than one.
    world.env.spec.strategy = blue_green();
    world.reach(&wanted("web-1", Some("web-2"), 100));
    assert_eq!(
        weights(&world, 0),
        pairs(&[("legacy", 1), ("web", 0), ("web-candidate", 1)])
    );
}

#[test]
fn each_mistake_in_the_reference_is_told_with_what_to_do() {
    let rules = json!([
        {"name": "main", "backendRefs": [{"name": "web", "port": 80}]},
        {"name": "other", "backendRefs": [{"name": "files", "port": 80}]},
    ]);
    let asked = wanted("web-1", None, 0);
    let missing = World::new(canary(Vec::new()), Some(reference(None))).with(&["web-1"]);
    let say = |rules: &Value, rule| world(rules, rule).reason(&asked);
    let cases = [
        (
            missing.reason(&asked),
            "RouteNotFound: there is no HTTPRoute site in namespace shop",
        ),
        (
            say(&rules, Some("mian")),
            "RuleNotFound: HTTPRoute site has no rule named mian (named are: main, other)",
        ),
        (
            say(&rules, Some("other")),
            "BackendNotFound: rule other of HTTPRoute site does not lead to Service web",
        ),
        (
            say(&json!([rules[1]]), None),
            "BackendNotFound: no rule of HTTPRoute site leads to Service web",
        ),
        (
            say(&json!([rules[0], rules[0]]), None),
            "RuleNotFound: 2 rules of HTTPRoute site lead to Service web",
        ),
        (
            say(&json!([{"backendRefs": [{"name": "web", "port": 81}]}]), None),
            "BackendNotFound: the route leads to port 81 of Service web, which traffic.ports lacks",
        ),
        (
            say(
                &json!([{"backendRefs": [{"name": "web", "port": 80}, {"name": "web", "port": 80}]}]),
                None,
            ),
            "BackendNotFound: the weighted rule leads to Service web 2 times",
        ),
    ];
    for (said, begin) in cases {
        assert!(said.starts_with(begin), "{said}");
    }
    // The Services are there all the same: the route may be waiting for them.
    assert_eq!(missing.ask(&asked).effects.len(), 2);
}

#[test]
fn a_service_of_the_same_name_in_another_namespace_is_another_one() {
    let rules = json!([
        {"backendRefs": [{"name": "web", "namespace": "theirs", "port": 80}]},
        {"backendRefs": [{"name": "web", "port": 80}]},
    ]);
    let mut world = world(&rules, None);
    world.reach(&wanted("web-1", Some("web-2"), 50));
    assert_eq!(weights(&world, 0), pairs(&[("web", 1)]));
}

#[test]
fn between_rollouts_a_route_that_is_applied_again_is_left_as_it_is() {
    let rules = json!([{"backendRefs": [{"name": "web", "port": 80}]}]);
    let mut world = world(&rules, None);
    let before = world.route().clone();
    world.reach(&wanted("web-1", None, 0));
    assert_eq!(*world.route(), before);
    world.reach(&wanted("web-1", Some("web-2"), 0));
    assert_eq!(weights(&world, 0), pairs(&[("web", 100), ("web-candidate", 0)]));
    // While it is known, it has its weight; once the manifest is applied again, that is as good.
    world.reach(&wanted("web-1", None, 0));
    assert_eq!(weights(&world, 0), pairs(&[("web", 100), ("web-candidate", 0)]));
    world.store(&Key::new(Kind::HttpRoute, "site"), site(&rules));
    let split = world.ask(&wanted("web-1", None, 0));
    assert!(split.effects.is_empty());
}

#[test]
fn in_place_the_route_stays_as_it_is_and_what_a_canary_left_behind_goes() {
    let rules = json!([{"backendRefs": [{"name": "web", "port": 80}]}]);
    let mut world = world(&rules, None);
    let before = world.route().clone();
    world.env.spec.strategy = Strategy::default();
    world.reach(&wanted("web-1", None, 0));
    assert_eq!(*world.route(), before);
    world.env.spec.strategy = canary(Vec::new());
    world.reach(&wanted("web-1", Some("web-2"), 0));
    world.env.spec.strategy = Strategy::default();
    world.reach(&wanted("web-1", None, 0));
    assert_eq!(weights(&world, 0), pairs(&[("web", 1)]));
    assert!(
        !world
            .seen
            .objects
            .contains_key(&Key::new(Kind::Service, "web-candidate"))
    );
    assert_eq!(world.selector("web")[labels::RELEASE], "web-1");
}
