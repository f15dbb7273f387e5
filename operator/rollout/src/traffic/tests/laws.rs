//! Laws for all routes and all orders of steps.

use dcanary_crds::{RouteKind, Tester};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{
    super::{InForce, Proof, Wanted, of},
    testing,
    world::{World, canary, percents, reference, site, template},
};
use crate::seen::{Key, Kind};

/// A step that a caller may ask for: releases by number.
#[derive(Debug, Clone)]
struct Step {
    stable: usize,
    candidate: Option<usize>,
    weight: i32,
    mirror: i32,
    testers: bool,
    proof: Proof,
    /// Passes of the operator, and whether the gateway follows after each.
    passes: Vec<bool>,
}

const NAMES: [&str; 3] = ["web-1", "web-2", "web-3"];

impl Step {
    fn wanted(&self) -> Wanted<'static> {
        Wanted {
            stable: Some(NAMES[self.stable]),
            candidate: self.candidate.map(|number| NAMES[number]),
            weight: self.weight,
            mirror: self.mirror,
            testers: self.testers,
            proof: self.proof,
        }
    }
}

prop_compose! {
    fn step()(
        stable in 0..3_usize,
        candidate in proptest::option::of(0..3_usize),
        weight in prop_oneof![Just(0), Just(100), 0..=100_i32],
        mirror in prop_oneof![Just(0), 0..=100_i32],
        testers in any::<bool>(),
        proof in proptest::sample::select(vec![Proof::Off, Proof::Asked, Proof::Needed]),
        passes in proptest::collection::vec(any::<bool>(), 1..5),
    ) -> Step {
        Step { stable, candidate, weight, mirror, testers, proof, passes }
    }
}

prop_compose! {
    fn backend(names: &'static [&'static str])(
        name in proptest::sample::select(names),
        weight in proptest::option::of(0..300_i64),
        strange in any::<bool>(),
    ) -> Value {
        let mut backend = json!({"name": name, "port": 80});
        if let Some(weight) = weight {
            backend["weight"] = json!(weight);
        }
        if strange {
            backend["filters"] = json!([{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"remove": ["a"]}}]);
        }
        backend
    }
}

fn matches() -> impl Strategy<Value = Vec<Value>> {
    let path = proptest::sample::select(vec!["/", "/a", "/a/b", "/c"]);
    let header = proptest::option::of(proptest::sample::select(vec!["x-a", "x-tester"]));
    let matched = (path, header).prop_map(|(path, header)| {
        let mut matched = json!({"path": {"type": "PathPrefix", "value": path}});
        if let Some(header) = header {
            matched["headers"] = json!([{"name": header, "value": "yes"}]);
        }
        matched
    });
    proptest::collection::vec(matched, 0..4)
}

fn fields() -> impl Strategy<Value = Map<String, Value>> {
    (matches(), any::<[bool; 4]>()).prop_map(|(matches, [filters, mirror, timeouts, unknown])| {
        let mut rule = Map::new();
        if !matches.is_empty() {
            rule.insert("matches".to_owned(), json!(matches));
        }
        let mut all = Vec::new();
        if filters {
            all.push(json!({"type": "RequestHeaderModifier", "requestHeaderModifier": {"add": [{"name": "a", "value": "b"}]}}));
        }
        if mirror {
            all.push(json!({"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "audit", "port": 80}, "percent": 5}}));
        }
        if !all.is_empty() {
            rule.insert("filters".to_owned(), json!(all));
        }
        if timeouts {
            rule.insert("timeouts".to_owned(), json!({"request": "10s"}));
        }
        if unknown {
            rule.insert("ofALaterVersion".to_owned(), json!({"deep": [1, {"er": null}]}));
        }
        rule
    })
}

/// A rule of somebody else, that may well lead to the candidate.
fn theirs() -> impl Strategy<Value = Map<String, Value>> {
    let backends = proptest::collection::vec(
        backend(&["files", "audit", "web-candidate", "api-candidate"]),
        0..3,
    );
    let name = proptest::option::of(proptest::sample::select(vec![
        "main2",
        "tester",
        "dcanary",
        "dcanary-tester-0",
    ]));
    (fields(), backends, name).prop_map(|(mut rule, backends, name)| {
        rule.insert("backendRefs".to_owned(), json!(backends));
        // A name that begins like ours is ours only where it leads to our candidate alone.
        let alone = backends.iter().all(|backend| backend["name"] == "web-candidate");
        if let Some(name) = name.filter(|name| !(name.starts_with("dcanary-") && alone)) {
            rule.insert("name".to_owned(), json!(name));
        }
        rule
    })
}

/// Rules of a route; the one called `main` leads to the Environment.
fn rules() -> impl Strategy<Value = Value> {
    let side = || proptest::collection::vec(theirs(), 0..4);
    let own = (
        fields(),
        proptest::collection::vec(backend(&["legacy", "older"]), 0..3),
        100..500_i64,
        any::<bool>(),
    );
    (side(), own, side()).prop_map(|(before, (mut main, mut others, weight, said), after)| {
        let alone = others
            .iter()
            .all(|backend| backend.get("weight") == Some(&json!(0)));
        let mut web = json!({"name": "web", "port": 80});
        if said || !alone {
            web["weight"] = json!(weight);
        }
        let at = others.len() / 2;
        others.insert(at, web);
        main.insert("name".to_owned(), json!("main"));
        main.insert("backendRefs".to_owned(), json!(others));
        let all: Vec<Value> = before
            .into_iter()
            .chain([main])
            .chain(after)
            .map(Value::Object)
            .collect();
        json!(all)
    })
}

fn testers() -> Vec<Tester> {
    vec![
        testing::header("x-tester", "yes"),
        testing::header("x-other", "1"),
    ]
}

fn adopted(rules: &Value) -> World {
    World::new(canary(testers()), Some(reference(Some("main"))))
        .with(&NAMES)
        .with_route(site(rules))
}

fn owned(kind: RouteKind) -> World {
    let rules = json!([{"matches": [{"headers": [{"name": "a", "value": "b"}]}]}, {}]);
    World::new(canary(testers()), Some(template(kind, &rules))).with(&NAMES)
}

fn worlds(rules: &Value, kinds: &[RouteKind]) -> Vec<World> {
    std::iter::once(adopted(rules))
        .chain(kinds.iter().map(|kind| owned(*kind)))
        .collect()
}

/// All of a route but what changes with every write, and but our parts of the weighted rule.
fn others(route: &Value) -> Value {
    let mut route = route.clone();
    route["status"] = Value::Null;
    for key in ["resourceVersion", "generation", "managedFields"] {
        route["metadata"].as_object_mut().unwrap().remove(key);
    }
    let rules = route["spec"]["rules"].as_array_mut().unwrap();
    rules.retain(|rule| {
        let name = rule["name"].as_str().unwrap_or_default();
        let backends = rule["backendRefs"].as_array();
        let alone = backends
            .into_iter()
            .flatten()
            .all(|backend| backend["name"] == "web-candidate");
        let verifies = name == "dcanary-verify" && backends.is_none();
        let tests = name.starts_with("dcanary-tester-") && alone;
        !verifies && !tests
    });
    for rule in rules.iter_mut().filter(|rule| rule["name"] == "main") {
        let backends = rule["backendRefs"].as_array_mut().unwrap();
        backends.retain(|backend| backend["name"] != "web-candidate");
        for backend in backends.iter_mut().filter(|backend| backend["name"] == "web") {
            backend["weight"] = Value::Null;
        }
        if let Some(filters) = rule.get_mut("filters") {
            let filters = filters.as_array_mut().unwrap();
            filters.retain(|filter| !filter.to_string().contains("web-candidate"));
            if filters.is_empty() {
                rule.as_object_mut().unwrap().remove("filters");
            }
        }
    }
    route
}

fn follow(world: &mut World, step: &Step, mut check: impl FnMut(&World)) {
    for follows in &step.passes {
        world.set(&step.wanted());
        check(world);
        if *follows {
            world.settle();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// rollouts-plugin-trafficrouter-gatewayapi #217: rules of others were deleted.
    #[test]
    fn a_route_that_is_set_and_removed_is_the_same_in_all_other_rules(
        rules in rules(), steps in proptest::collection::vec(step(), 1..4)
    ) {
        let mut world = adopted(&rules);
        let before = world.route().clone();
        for step in &steps {
            follow(&mut world, step, |world| assert_eq!(others(world.route()), others(&before)));
        }
        world.remove();
        prop_assert!(!world.route().to_string().contains("dcanary-verify"));
        prop_assert_eq!(others(world.route()), others(&before));
        let backends = |route: &Value| {
            let rules = route["spec"]["rules"].as_array().unwrap().clone();
            rules.iter().find(|rule| rule["name"] == "main").unwrap()["backendRefs"].as_array().unwrap().clone()
        };
        let (was, is) = (backends(&before), backends(world.route()));
        prop_assert_eq!(was.len(), is.len(), "the candidate is gone");
        let sum = |backends: &[Value]| backends.iter().filter(|backend| backend["name"] != "web").map(|backend| backend["weight"].as_i64().unwrap()).sum::<i64>();
        for (was, is) in was.iter().zip(&is) {
            // Alone, any weight is all.
            if sum(&backends(&before)) > 0 {
                prop_assert_eq!(was, is);
            } else if was["name"] == "web" {
                prop_assert!(is["weight"].as_i64().unwrap() > 0);
            }
        }
    }

    #[test]
    fn weights_of_both_sum_to_what_they_share_and_are_what_was_asked_for(
        rules in rules(), steps in proptest::collection::vec(step(), 1..4)
    ) {
        for mut world in worlds(&rules, &[RouteKind::Http, RouteKind::Grpc]) {
            for step in &steps {
                let step = Step { testers: false, ..step.clone() };
                world.reach(&step.wanted());
                let spec = world.route()["spec"].clone();
                prop_assert!(percents(&spec).iter().all(|percent| *percent == i64::from(step.weight)));
                prop_assert_eq!(of(&world.env, &world.seen, None).unwrap().weight(), Some(step.weight));
                for rule in spec["rules"].as_array().unwrap() {
                    let Some(backends) = rule["backendRefs"].as_array() else { continue };
                    let weight = |name: &str| backends.iter().find(|backend| backend["name"] == name).map(|backend| backend["weight"].as_i64().unwrap());
                    let (Some(stable), Some(candidate)) = (weight("web"), weight("web-candidate")) else { continue };
                    let others: i64 = backends.iter().map(|backend| backend["weight"].as_i64().unwrap()).sum::<i64>() - stable - candidate;
                    prop_assert!(others > 0 || stable + candidate == 100);
                }
            }
        }
    }

    #[test]
    fn to_set_what_is_set_does_nothing(
        rules in rules(), step in step(), grpc in any::<bool>()
    ) {
        let kind = if grpc { RouteKind::Grpc } else { RouteKind::Http };
        for mut world in worlds(&rules, &[kind]) {
            let wanted = step.wanted();
            // Testers may be more than the Gateway API has room for, or be matched by the rule already.
            if matches!(world.ask(&wanted).in_force, InForce::Refused { .. }) {
                continue;
            }
            world.reach(&wanted);
            let split = world.ask(&wanted);
            prop_assert_eq!(split.in_force, InForce::Yes);
            prop_assert!(split.effects.is_empty());
            prop_assert_eq!(split.overwritten, None);
        }
    }

    /// flagger #826: whatever is asked for, in whatever order, and however late the gateway is.
    #[test]
    fn no_service_is_switched_under_requests_that_are_meant_for_somebody_else(
        steps in proptest::collection::vec(step(), 1..8), adopt in any::<bool>()
    ) {
        let mut world = if adopt {
            adopted(&json!([{"name": "main", "backendRefs": [{"name": "web", "port": 80}]}]))
        } else {
            owned(RouteKind::Http)
        };
        for step in &steps {
            for follows in &step.passes {
                world.switches.clear();
                let release = NAMES[step.candidate.unwrap_or(step.stable)];
                let there = world.seen.objects.contains_key(&Key::new(Kind::Service, "web-candidate"));
                let candidate_leads = there && world.leads_to("web-candidate", release);
                world.set(&step.wanted());
                for switch in world.switches.iter().filter(|switch| switch.routed) {
                    if switch.service == "web-candidate" {
                        prop_assert!(switch.most == 0 && !switch.extra, "{:?} {:?}", switch, step);
                    } else if step.weight == 100 && candidate_leads {
                        prop_assert_eq!(switch.least, 100, "{:?} {:?}", switch, step);
                    }
                }
                if *follows {
                    world.settle();
                }
            }
        }
        // Every order ends where the last step wants to be.
        if let Some(step) = steps.last() {
            world.reach(&step.wanted());
        }
    }

    #[test]
    fn no_object_whatever_it_holds_makes_it_stop(
        text in "[a-z]{0,3}", number in any::<i64>(), step in step(), place in 0..8_usize
    ) {
        let mut world = adopted(&json!([{"name": "main", "backendRefs": [{"name": "web", "port": 80}]}]));
        world.reach(&Step { testers: false, ..step.clone() }.wanted());
        let paths = ["/spec", "/spec/rules", "/spec/rules/0", "/spec/rules/0/backendRefs", "/spec/rules/0/backendRefs/0/weight", "/metadata", "/status", "/spec/parentRefs"];
        let keys: Vec<_> = world.seen.objects.keys().cloned().collect();
        for key in keys {
            for odd in [json!(text), json!(number), json!([number]), Value::Null, json!({text.clone(): number})] {
                let before = world.seen.objects.get(&key).unwrap().clone();
                let mut object = before.clone();
                if let Some(field) = object.pointer_mut(paths[place]) {
                    *field = odd;
                }
                world.seen.objects.insert(key.clone(), object);
                let traffic = of(&world.env, &world.seen, Some(10)).unwrap();
                traffic.set(&step.wanted());
                traffic.remove();
                traffic.weight();
                drop(traffic);
                world.seen.objects.insert(key.clone(), before);
            }
        }
    }
}
