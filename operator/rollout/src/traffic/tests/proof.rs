//! Weights that requests have to show.

use dcanary_crds::RouteKind;
use serde_json::{Value, json};

use super::{
    super::{InForce, Proof, Verified, Wanted, of},
    world::{World, canary, reference, site, template, wanted},
};
use crate::plan::{Effect, Verify};

fn needed(candidate: &'static str, weight: i32) -> Wanted<'static> {
    Wanted {
        proof: Proof::Needed,
        ..wanted("web-1", Some(candidate), weight)
    }
}

/// A gateway that says that it follows before it does, with the candidate at 20 %.
fn lagging() -> World {
    let route = template(RouteKind::Http, &json!([]));
    let mut world = World::new(canary(Vec::new()), Some(route)).with(&["web-1", "web-2", "web-3"]);
    world.reach(&needed("web-2", 20));
    world.lags = true;
    world
}

fn checks(effects: &[Effect]) -> Vec<Verify> {
    let checks = effects.iter().filter_map(|effect| match effect {
        Effect::Verify(verify) => Some((**verify).clone()),
        _ => None,
    });
    checks.collect()
}

fn message(world: &World, wanted: &Wanted<'_>) -> String {
    match world.ask(wanted).in_force {
        InForce::NotYet { message } => message,
        other => panic!("{other:?}"),
    }
}

fn verified(world: &World) -> Verified {
    of(&world.env, &world.seen, None).unwrap().verify()
}

#[test]
fn weights_are_in_force_once_requests_have_shown_them_and_not_when_the_status_says_so() {
    let mut world = lagging();
    let asked = needed("web-2", 60);
    world.set(&asked);
    assert_eq!(checks(&world.ask(&asked).effects), [], "the status first");
    world.settle();
    assert!(
        message(&world, &asked)
            .starts_with("the gateway at http://gateway (as web.example.com) is being asked")
    );
    let split = world.set(&asked);
    let [check] = checks(&split.effects).try_into().unwrap();
    assert_eq!(
        (check.url.as_str(), check.host.as_deref()),
        ("http://gateway", Some("web.example.com"))
    );
    assert_eq!(check.path, format!("/.well-known/dcanary/{}", check.token));
    assert_eq!(check.leads_to, format!("{}.dcanary.invalid", check.token));
    assert!(check.token.len() == 16 && check.token.chars().all(|digit| digit.is_ascii_hexdigit()));
    assert!(message(&world, &asked).contains("answers 404"));
    assert_eq!(world.ask(&asked).unverified, Some(message(&world, &asked)));
    world.act();
    world.set(&asked);
    let split = world.ask(&asked);
    assert_eq!((split.in_force, split.unverified), (InForce::Yes, None));
    assert!(split.effects.is_empty(), "it is not asked again");
    assert_eq!(verified(&world), Verified::Yes);
}

#[test]
fn where_nothing_may_wait_the_status_is_believed_and_the_gateway_asked_all_the_same() {
    let mut world = lagging();
    let asked = Wanted {
        proof: Proof::Asked,
        ..needed("web-2", 0)
    };
    world.set(&asked);
    world.settle();
    let split = world.ask(&asked);
    assert_eq!(split.in_force, InForce::Yes);
    assert_eq!(checks(&split.effects).len(), 1);
    assert!(split.unverified.is_some() && matches!(verified(&world), Verified::No { .. }));
}

#[test]
fn the_candidates_service_leads_elsewhere_only_when_requests_have_shown_that_none_goes_to_it() {
    let mut world = lagging();
    let next = needed("web-3", 0);
    for _ in 0..4 {
        world.set(&next);
        world.settle();
    }
    assert!(world.leads_to("web-candidate", "web-2"), "20 % still go there");
    world.act();
    world.reach(&next);
    assert!(world.leads_to("web-candidate", "web-3"));
}

#[test]
fn each_split_has_a_path_of_its_own() {
    let mut world = lagging();
    let mut seen = Vec::new();
    let mut note = |world: &World| {
        let rules = world.rules();
        let ours = rules
            .iter()
            .find(|rule| rule["name"] == "dcanary-verify")
            .unwrap();
        seen.push(ours["matches"][0]["path"]["value"].as_str().unwrap().to_owned());
    };
    note(&world);
    for asked in [
        needed("web-2", 21),
        needed("web-2", 100),
        Wanted {
            mirror: 5,
            ..needed("web-2", 100)
        },
        needed("web-3", 21),
    ] {
        world.lags = false;
        world.reach(&asked);
        note(&world);
    }
    world.reach(&needed("web-2", 20));
    note(&world);
    assert_eq!(seen.first(), seen.last(), "the same for the same");
    let whose = |path: &String| path[..path.len() - 8].to_owned();
    assert!(seen.iter().all(|path| whose(path) == whose(&seen[0])));
    seen.pop();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 5);
}

#[test]
fn the_rule_redirects_has_no_backend_and_goes_at_rest() {
    let mut world = lagging();
    let rule = world.rules()[0].clone();
    assert_eq!(rule["name"], "dcanary-verify");
    assert_eq!(rule["filters"][0]["type"], "RequestRedirect");
    assert_eq!(rule["filters"][0]["requestRedirect"]["statusCode"], 302);
    assert_eq!(rule["matches"][0]["path"]["type"], "Exact");
    assert!(rule.get("backendRefs").is_none());
    world.lags = false;
    world.reach(&wanted("web-1", None, 0));
    assert_eq!(world.rules().len(), 1);
    assert_eq!(verified(&world), Verified::Unasked);
}

#[test]
fn two_environments_share_a_route_without_taking_each_others_rule() {
    let theirs = json!({
        "name": "dcanary-verify",
        "matches": [{"path": {"type": "Exact", "value": "/.well-known/dcanary/0123456789abcdef"}}],
        "filters": [{"type": "RequestRedirect", "requestRedirect": {"hostname": "0123456789abcdef.dcanary.invalid", "statusCode": 302}}],
    });
    let rules = json!([{"name": "main", "backendRefs": [{"name": "web", "port": 80}]}, theirs]);
    let mut world = World::new(canary(Vec::new()), Some(reference(None)))
        .with(&["web-1", "web-2"])
        .with_route(site(&rules));
    world.reach(&needed("web-2", 20));
    let names: Vec<Value> = world.rules().iter().map(|rule| rule["name"].clone()).collect();
    assert_eq!(names, ["dcanary-verify-1", "main", "dcanary-verify"]);
    world.remove();
    assert_eq!(world.rules()[1], theirs);
    assert_eq!(world.rules().len(), 2);
}

#[test]
fn a_route_without_room_for_the_rule_is_an_obstacle_forward_and_none_on_the_way_back() {
    let rule = |name: String| json!({"name": name, "backendRefs": [{"name": "files", "port": 80}]});
    let mut rules: Vec<Value> = (0..15).map(|n| rule(format!("r{n}"))).collect();
    rules.push(json!({"name": "main", "backendRefs": [{"name": "web", "port": 80}]}));
    let mut world = World::new(canary(Vec::new()), Some(reference(Some("main"))))
        .with(&["web-1", "web-2"])
        .with_route(site(&json!(rules)));
    world.reach(&wanted("web-1", Some("web-2"), 10));
    let said = world.reason(&needed("web-2", 20));
    assert!(
        said.starts_with(
            "RouteRejected: with one rule for traffic.route.verify the route would have 17 rules"
        ) && said.ends_with("or leave traffic.route.verify out"),
        "{said}"
    );
    world.reach(&Wanted {
        proof: Proof::Asked,
        ..needed("web-2", 0)
    });
}
