//! A route that is wholly ours.

use dcanary_crds::{RouteKind, labels};
use serde_json::json;

use super::{
    super::of,
    world::{UID, World, blue_green, canary, reference, site, template, wanted},
};
use crate::seen::{Key, Kind};

#[test]
fn a_route_is_created_once_its_services_are_there() {
    let mut world =
        World::new(canary(Vec::new()), Some(template(RouteKind::Http, &json!([])))).with(&["web-1"]);
    let split = world.set(&wanted("web-1", None, 0));
    assert_eq!(split.effects.len(), 2);
    assert!(!world.seen.objects.contains_key(&Key::new(Kind::HttpRoute, "web")));
    world.reach(&wanted("web-1", None, 0));
    let route = world.route();
    assert_eq!(route["metadata"]["labels"][labels::ENVIRONMENT_UID], UID);
    assert_eq!(route["spec"]["hostnames"], json!(["web.example.com"]));
    assert_eq!(route["spec"]["rules"][0]["backendRefs"][0]["weight"], 100);
    assert_eq!(route["spec"]["rules"][0]["backendRefs"][1]["weight"], 0);
}

#[test]
fn every_rule_of_the_template_is_weighted_but_one_that_redirects() {
    let rules = json!([
        {"matches": [{"path": {"type": "PathPrefix", "value": "/old"}}], "filters": [{"type": "RequestRedirect", "requestRedirect": {"hostname": "x.example.com"}}]},
        {"matches": [{"path": {"type": "PathPrefix", "value": "/a"}}]},
        {"timeouts": {"request": "5s"}},
    ]);
    let mut world =
        World::new(blue_green(), Some(template(RouteKind::Http, &rules))).with(&["web-1", "web-2"]);
    world.reach(&wanted("web-1", Some("web-2"), 100));
    assert!(world.rules()[0].get("backendRefs").is_none());
    for rule in &world.rules()[1..] {
        assert_eq!(
            (
                &rule["backendRefs"][0]["weight"],
                &rule["backendRefs"][1]["weight"]
            ),
            (&json!(0), &json!(100))
        );
    }
    assert_eq!(world.rules()[2]["timeouts"], json!({"request": "5s"}));
}

#[test]
fn what_somebody_puts_into_our_route_is_taken_out() {
    let mut world =
        World::new(canary(Vec::new()), Some(template(RouteKind::Http, &json!([])))).with(&["web-1"]);
    world.reach(&wanted("web-1", None, 0));
    let before = world.rules();
    let key = Key::new(Kind::HttpRoute, "web");
    let mut object = world.route().clone();
    object["spec"]["rules"]
        .as_array_mut()
        .unwrap()
        .push(json!({"backendRefs": [{"name": "theirs", "port": 80}]}));
    world.store(&key, object);
    world.reach(&wanted("web-1", None, 0));
    assert_eq!(world.rules(), before);
}

#[test]
fn a_route_of_that_name_that_is_not_ours_is_left_alone() {
    let mut world =
        World::new(canary(Vec::new()), Some(template(RouteKind::Http, &json!([])))).with(&["web-1"]);
    let mut theirs = site(&json!([]));
    theirs["metadata"]["name"] = json!("web");
    world.store(&Key::new(Kind::HttpRoute, "web"), theirs);
    assert!(
        world
            .reason(&wanted("web-1", None, 0))
            .starts_with("Foreign: HTTPRoute web exists")
    );
    assert!(of(&world.env, &world.seen, None).unwrap().remove().is_empty());
}

#[test]
fn the_route_of_an_earlier_spec_goes_once_the_new_one_is_in_force() {
    let rules = json!([{"backendRefs": [{"name": "web", "port": 80}]}]);
    let mut world =
        World::new(canary(Vec::new()), Some(template(RouteKind::Http, &json!([])))).with(&["web-1", "web-2"]);
    world.reach(&wanted("web-1", None, 0));
    world = world.with_route(site(&rules));
    world.env.spec.traffic.as_mut().unwrap().route = Some(reference(None));
    let old = Key::new(Kind::HttpRoute, "web");
    world.set(&wanted("web-1", Some("web-2"), 0));
    assert!(world.seen.objects.contains_key(&old));
    world.reach(&wanted("web-1", Some("web-2"), 0));
    assert!(!world.seen.objects.contains_key(&old));
}

#[test]
fn a_removed_route_and_its_services_are_gone() {
    let mut world =
        World::new(canary(Vec::new()), Some(template(RouteKind::Grpc, &json!([])))).with(&["web-1"]);
    world.reach(&wanted("web-1", None, 0));
    world.remove();
    assert_eq!(world.seen.objects.len(), 1, "the workload is not ours to delete");
}
