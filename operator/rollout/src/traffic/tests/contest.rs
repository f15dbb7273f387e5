//! Somebody else sets our weights.

use serde_json::{Value, json};

use super::world::{World, canary, reference, site, wanted};
use crate::seen::{Key, Kind};

fn world() -> World {
    let rules = json!([{"backendRefs": [{"name": "web", "port": 80}]}]);
    let mut world = World::new(canary(Vec::new()), Some(reference(None)))
        .with(&["web-1", "web-2"])
        .with_route(site(&rules));
    world.reach(&wanted("web-1", Some("web-2"), 30));
    world
}

fn write(world: &mut World, manager: &str, time: &str, rules: Option<&Value>) {
    let mut object = world.route().clone();
    let entry = json!({"manager": manager, "operation": "Apply", "time": time, "fieldsV1": {"f:spec": {}}});
    let mut entries = object["metadata"]["managedFields"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    entries.push(entry);
    object["metadata"]["managedFields"] = json!(entries);
    if let Some(rules) = rules {
        object["spec"]["rules"] = rules.clone();
    }
    world.store(&Key::new(Kind::HttpRoute, "site"), object);
}

#[test]
fn whoever_sets_the_route_back_is_named_and_the_weights_are_set_again() {
    let mut world = world();
    write(&mut world, "dcanary", "2026-03-01T10:00:00Z", None);
    // A GitOps tool applies its manifest: the list of rules is atomic, so the candidate is gone with the weights.
    let manifest = json!([{"backendRefs": [{"name": "web", "port": 80}]}]);
    write(
        &mut world,
        "argocd-controller",
        "2026-03-01T10:01:00Z",
        Some(&manifest),
    );
    let split = world.set(&wanted("web-1", Some("web-2"), 30));
    assert_eq!(split.overwritten.as_deref(), Some("argocd-controller"));
    assert_eq!(split.effects.len(), 1);
    world.settle();
    assert_eq!(world.ask(&wanted("web-1", Some("web-2"), 30)).overwritten, None);
    world.reach(&wanted("web-1", Some("web-2"), 30));
}

#[test]
fn our_own_next_step_is_no_contest() {
    let mut world = world();
    write(&mut world, "argocd-controller", "2026-03-01T09:00:00Z", None);
    write(&mut world, "dcanary", "2026-03-01T10:00:00Z", None);
    for weight in [30, 60, 0] {
        let split = world.ask(&wanted("web-1", Some("web-2"), weight));
        assert_eq!(split.overwritten, None);
        let split = world.set(&wanted("web-1", Some("web-2"), weight));
        assert_eq!(split.overwritten, None);
        // Written, but not in force yet: neither the old nor the new weight is somebody else's.
        assert_eq!(
            world.ask(&wanted("web-1", Some("web-2"), weight)).overwritten,
            None
        );
        world.reach(&wanted("web-1", Some("web-2"), weight));
    }
}

#[test]
fn a_candidate_that_makes_way_for_a_newer_one_is_no_contest() {
    let mut world = world().with(&["web-3"]);
    write(&mut world, "kubectl", "2026-03-01T09:00:00Z", None);
    write(&mut world, "dcanary", "2026-03-01T10:00:00Z", None);
    for _ in 0..6 {
        assert_eq!(world.set(&wanted("web-1", Some("web-3"), 30)).overwritten, None);
        world.settle();
    }
    assert!(world.leads_to("web-candidate", "web-3"));
}

#[test]
fn a_change_of_anything_else_is_no_contest() {
    let mut world = world();
    let mut rules = world.rules();
    rules.push(json!({"name": "more", "backendRefs": [{"name": "files", "port": 80}]}));
    write(&mut world, "kubectl", "2026-03-01T10:01:00Z", Some(&json!(rules)));
    let split = world.set(&wanted("web-1", Some("web-2"), 30));
    assert_eq!(split.overwritten, None);
    assert!(split.effects.is_empty());
    assert_eq!(world.rules().len(), 2);
}
