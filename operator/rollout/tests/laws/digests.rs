//! A Decision is about the release that was looked at, also where it waits for something that is not there.

use dcanary_crds::Verb;
use dcanary_rollout::{Key, Kind};
use serde_json::{Value, json};

use crate::{
    build::{canary, environment},
    world::World,
};

fn settings(more: &Value) -> World {
    let mut spec = json!({"workload": {"configMaps": ["settings"], "template": {"spec": {"template": {"spec": {
        "containers": [{"name": "app", "image": "$(images.app)", "envFrom": [{"configMapRef": {"name": "settings"}}]}]}}}}}});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    World::new(environment(canary(json!([{"weight": 50}, {"pause": {}}])), spec))
}

fn configure(world: &mut World, colour: &str) {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop"},
        "data": {"colour": colour}});
    let key = Key::new(Kind::ConfigMap, "settings");
    world.cluster.objects.insert(key, object);
}

fn identity(world: &World) -> String {
    let status = world.promotions.last().unwrap().status.clone();
    status.unwrap().identity.unwrap()
}

fn says(world: &World) -> (String, String) {
    let status = world.promotions.last().unwrap().status.clone().unwrap();
    (
        status.conditions[0].reason.clone(),
        status.conditions[0].message.clone(),
    )
}

/// Identities that are held.
fn held(world: &World) -> Vec<String> {
    let held = world.status().held.into_iter();
    held.map(|held| held.identity).collect()
}

#[test]
fn an_override_lets_through_what_was_looked_at_and_not_what_it_became() {
    // the world begins at 03:04
    let mut world = settings(&json!({"freeze": [{"name": "night", "start": "0 0 * * *", "duration": "6h"}]}));
    configure(&mut world, "blue");
    let name = world.promote("good1");
    world.run(5);
    world.decide(&name, Verb::Override, "ann");
    configure(&mut world, "green");
    world.run(30);
    let (reason, message) = says(&world);
    assert_eq!((world.stable(), reason.as_str()), (None, "Frozen"));
    let now = identity(&world);
    assert!(
        message.contains(&format!(
            "ann let another release through: for.digest must be {now}"
        )),
        "{message}"
    );
    world.decide(&name, Verb::Override, "ann");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
}

#[test]
fn a_rejection_ends_the_wait_and_holds_what_was_looked_at() {
    let mut world = settings(&json!({"approval": {"required": 1, "users": ["bob"]}}));
    configure(&mut world, "blue");
    let name = world.promote("good1");
    world.run(5);
    let blue = identity(&world);
    world.decide(&name, Verb::Reject, "bob");
    configure(&mut world, "green");
    world.run(5);
    assert_eq!(world.finished(&name), Some((false, "Rejected".to_owned())));
    assert_eq!(held(&world), [blue]);
}

#[test]
fn a_rejection_does_not_hold_another_release_than_the_promotions() {
    let mut world = settings(&json!({}));
    configure(&mut world, "blue");
    world.promote("good1");
    world.run(60);
    let stable = world.status().stable.unwrap().identity;
    let approval = json!({"required": 1, "users": ["bob"]});
    world.env.spec.approval = Some(serde_json::from_value(approval).unwrap());
    let name = world.promote("good2");
    world.run(5);
    world.decide(&name, Verb::Reject, "bob");
    world.decisions.last_mut().unwrap().spec.target.digest = Some(stable);
    world.run(5);
    assert_eq!(world.finished(&name), Some((false, "Rejected".to_owned())));
    assert!(world.status().held.is_empty());
}

#[test]
fn what_is_said_to_go_on_is_what_was_looked_at() {
    for verb in [Verb::Resume, Verb::Skip] {
        let mut world = settings(&json!({}));
        configure(&mut world, "blue");
        world.promote("good1");
        world.run(60);
        let name = world.promote("good2");
        world.run(60);
        world.decide(&name, verb, "ann");
        world.decisions.last_mut().unwrap().spec.target.digest = Some(format!("sha256:{}", "0".repeat(64)));
        world.run(60);
        assert_eq!(world.status().rollout.unwrap().reason, "PausedByStep");
        world.decide(&name, verb, "ann");
        world.run(60);
        assert_eq!(world.stable().as_deref(), Some("good2"));
    }
}

#[test]
fn a_rejection_of_what_a_rollout_was_before_ends_it_and_holds_that() {
    let mut world = settings(&json!({}));
    configure(&mut world, "blue");
    world.promote("good1");
    world.run(60);
    let name = world.promote("good2");
    world.run(60);
    let other = format!("sha256:{}", "0".repeat(64));
    world.decide(&name, Verb::Reject, "bob");
    world.decisions.last_mut().unwrap().spec.target.digest = Some(other.clone());
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    assert!(world.finished(&name).is_some_and(|(promoted, _)| !promoted));
    assert_eq!(held(&world), [other]);
}

#[test]
fn people_end_a_promotion_that_waits_for_what_is_not_there() {
    for missing in ["ReleaseMissing", "ConfigMapMissing"] {
        for (verb, reason) in [(Verb::Reject, "Rejected"), (Verb::Abort, "Aborted")] {
            let mut world = settings(&json!({}));
            if missing == "ReleaseMissing" {
                configure(&mut world, "blue");
                world.releases.remove(&("shop".to_owned(), "good1".to_owned()));
            }
            let name = world.promote("good1");
            world.run(5);
            assert_eq!(says(&world).0, missing);
            world.decide(&name, verb, "bob");
            world.run(5);
            assert_eq!(world.finished(&name), Some((false, reason.to_owned())));
            assert!(world.status().held.is_empty(), "nobody knows what it would be");
        }
    }
}
