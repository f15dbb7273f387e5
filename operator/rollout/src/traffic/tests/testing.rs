//! Rules of testers, and mirrors.

use dcanary_crds::{NameValue, RouteKind, Tester};
use serde_json::{Value, json};

use super::{
    super::Wanted,
    world::{World, canary, reference, site, template, wanted},
};

pub(super) fn header(name: &str, value: &str) -> Tester {
    Tester {
        header: Some(NameValue {
            name: name.to_owned(),
            value: value.to_owned(),
        }),
        cookie: None,
    }
}

fn cookie(name: &str, value: &str) -> Tester {
    let Tester { header, .. } = header(name, value);
    Tester {
        header: None,
        cookie: header,
    }
}

fn asked() -> Wanted<'static> {
    Wanted {
        testers: true,
        ..wanted("web-1", Some("web-2"), 0)
    }
}

fn names(world: &World) -> Vec<Value> {
    world.rules().iter().map(|rule| rule["name"].clone()).collect()
}

#[test]
fn testers_come_directly_before_the_weighted_rule_and_keep_its_paths_filters_and_timeouts() {
    let filters = json!([{"type": "URLRewrite", "urlRewrite": {"hostname": "in.example.com"}}]);
    let rules = json!([
        {"name": "static", "backendRefs": [{"name": "files", "port": 80}]},
        {
            "name": "main",
            "matches": [{"path": {"type": "PathPrefix", "value": "/a"}}, {"path": {"type": "PathPrefix", "value": "/b"}}],
            "filters": filters,
            "timeouts": {"request": "5s"},
            "backendRefs": [{"name": "web", "port": 80}],
        },
    ]);
    let testers = vec![
        header("x-tester", "yes"),
        header("x-tester", "maybe"),
        cookie("who", "me"),
    ];
    let mut world = World::new(canary(testers), Some(reference(Some("main"))))
        .with(&["web-1", "web-2"])
        .with_route(site(&rules));
    world.reach(&asked());
    assert_eq!(
        names(&world),
        [json!("static"), json!("dcanary-tester-0"), json!("main")]
    );
    let rule = &world.rules()[1];
    assert_eq!(
        (&rule["filters"], &rule["timeouts"]),
        (&filters, &json!({"request": "5s"}))
    );
    let matches = rule["matches"].as_array().unwrap();
    assert_eq!(matches.len(), 6, "each path with each tester");
    assert!(
        matches
            .iter()
            .all(|matched| matched["headers"].as_array().unwrap().len() == 1)
    );
    assert_eq!(matches[5]["path"]["value"], "/b");
    assert_eq!(matches[5]["headers"][0]["type"], "RegularExpression");
    let backends = rule["backendRefs"].as_array().unwrap();
    assert!(backends.len() == 1 && backends[0]["name"] == "web-candidate");
    world.reach(&wanted("web-1", Some("web-2"), 10));
    assert_eq!(names(&world), [json!("static"), json!("main")]);
}

#[test]
fn testers_wait_until_the_candidates_service_leads_to_it() {
    let world = &mut World::new(
        canary(vec![header("x", "1")]),
        Some(template(RouteKind::Http, &json!([]))),
    )
    .with(&["web-1", "web-2"]);
    world.reach(&wanted("web-1", None, 0));
    let split = world.set(&asked());
    assert_eq!(split.effects.len(), 1, "the Service first: {split:?}");
    assert!(world.leads_to("web-candidate", "web-2"));
    assert_eq!(world.rules().len(), 1);
    world.reach(&asked());
    assert_eq!(world.rules().len(), 2);
}

#[test]
fn testers_of_a_grpc_route_match_headers_alone() {
    let rules = json!([{"matches": [{"method": {"service": "shop.Cart", "type": "Exact"}}]}]);
    let route = template(RouteKind::Grpc, &rules);
    let mut world = World::new(canary(vec![cookie("who", "me")]), Some(route)).with(&["web-1", "web-2"]);
    world.reach(&asked());
    let rule = &world.rules()[0];
    assert_eq!(rule["name"], "dcanary-tester-0");
    assert_eq!(rule["matches"][0]["method"]["service"], "shop.Cart");
    assert_eq!(rule["matches"][0]["headers"][0]["name"], "Cookie");
    assert!(rule["matches"][0].get("path").is_none());
    assert_eq!(
        world.service("web")["spec"]["ports"][0]["appProtocol"],
        "kubernetes.io/h2c"
    );
}

#[test]
fn a_server_that_drops_the_names_of_rules_does_not_collect_rules() {
    let rules = json!([{"backendRefs": [{"name": "web", "port": 80}]}]);
    let mut world = World::new(canary(vec![header("x", "1")]), Some(reference(None)))
        .with(&["web-1", "web-2"])
        .with_route(site(&rules));
    world.reach(&asked());
    for object in world.seen.objects.values_mut() {
        if object["kind"] == "HTTPRoute" {
            object["spec"]["rules"][0].as_object_mut().unwrap().remove("name");
        }
    }
    let split = world.ask(&asked());
    assert!(split.effects.is_empty());
    assert!(
        world
            .reason(&asked())
            .starts_with("RouteRejected: the route has a rule without a name")
    );
}

#[test]
fn testers_that_the_gateway_api_has_no_room_for_are_refused_and_the_way_back_is_not() {
    let rule = |name: String| json!({"name": name, "backendRefs": [{"name": "files", "port": 80}]});
    let mut rules: Vec<Value> = (0..15).map(|n| rule(format!("r{n}"))).collect();
    rules.push(json!({"name": "main", "backendRefs": [{"name": "web", "port": 80}]}));
    let mut world = World::new(canary(vec![header("x", "1")]), Some(reference(Some("main"))))
        .with(&["web-1", "web-2"])
        .with_route(site(&json!(rules)));
    world.reach(&wanted("web-1", Some("web-2"), 10));
    assert!(
        world
            .reason(&asked())
            .starts_with("RouteRejected: with 1 rules for testers the route would have 17 rules")
    );
    world.reach(&wanted("web-1", Some("web-2"), 0));
}

#[test]
fn two_environments_share_a_route_without_taking_each_others_testers() {
    let theirs = json!({
        "name": "dcanary-tester-0",
        "matches": [{"path": {"type": "PathPrefix", "value": "/api"}, "headers": [{"name": "x", "value": "1", "type": "Exact"}]}],
        "backendRefs": [{"group": "", "kind": "Service", "name": "api-candidate", "port": 80, "weight": 1}],
    });
    let rules = json!([theirs, {"name": "main", "backendRefs": [{"name": "web", "port": 80}]}]);
    let mut world = World::new(canary(vec![header("x", "1")]), Some(reference(Some("main"))))
        .with(&["web-1", "web-2"])
        .with_route(site(&rules));
    world.reach(&asked());
    assert_eq!(
        names(&world),
        [
            json!("dcanary-tester-0"),
            json!("dcanary-tester-1"),
            json!("main")
        ]
    );
    world.remove();
    assert_eq!(names(&world), [json!("dcanary-tester-0"), json!("main")]);
    assert_eq!(world.rules()[0], theirs);
}

#[test]
fn a_mirror_is_put_beside_the_filters_that_are_there_and_taken_out_again() {
    let other = json!({"type": "RequestMirror", "requestMirror": {"backendRef": {"group": "", "kind": "Service", "name": "audit", "port": 80}}});
    let rules = json!([{"filters": [other], "backendRefs": [{"name": "web", "port": 80}]}]);
    let mut world = World::new(canary(Vec::new()), Some(reference(None)))
        .with(&["web-1", "web-2"])
        .with_route(site(&rules));
    let at = |mirror| Wanted {
        mirror,
        ..wanted("web-1", Some("web-2"), 0)
    };
    for percent in [20, 50] {
        world.reach(&at(percent));
        let filters = world.rules()[0]["filters"].clone();
        assert_eq!(filters[0], other);
        assert_eq!(filters[1]["requestMirror"]["percent"], percent);
        assert_eq!(filters[1]["requestMirror"]["backendRef"]["name"], "web-candidate");
        assert_eq!(filters.as_array().unwrap().len(), 2);
    }
    world.reach(&at(0));
    assert_eq!(world.rules()[0]["filters"], json!([other]));
}
