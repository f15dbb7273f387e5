//! Template and configuration change at any moment.

use dcanary_crds::{DeployedRelease, Doing, Environment, EnvironmentStatus, Verb};
use dcanary_rollout::{Key, Kind};
use serde_json::{Value, json};

use crate::{
    build::{canary, environment},
    world::World,
};

fn settings() -> Key {
    Key::new(Kind::ConfigMap, "settings")
}

/// The ConfigMap that the Environment tracks has this content.
fn configure(world: &mut World, colour: &str) {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop"},
        "data": {"colour": colour}});
    world.cluster.objects.insert(settings(), object);
}

/// A world in which `good1` is stable, with `blue` settings.
fn configured(strategy: Value, more: Value) -> World {
    let mut spec = json!({"workload": {"configMaps": ["settings"], "template": {"spec": {"template": {"spec": {
        "containers": [{"name": "app", "image": "$(images.app)", "envFrom": [{"configMapRef": {"name": "settings"}}]}]}}}}}});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    let mut world = World::new(environment(strategy, spec));
    configure(&mut world, "blue");
    world.promote("good1");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    world
}

fn identity(world: &World) -> String {
    world.status().stable.unwrap().identity
}

#[test]
fn configuration_that_comes_back_is_rolled_out_each_time() {
    let mut world = configured(canary(json!([{"weight": 50}])), json!({}));
    let blue = identity(&world);
    configure(&mut world, "green");
    world.run(60);
    let green = identity(&world);
    assert_ne!(green, blue);
    for _ in 0..2 {
        configure(&mut world, "blue");
        world.run(60);
        assert_eq!(identity(&world), blue);
        configure(&mut world, "green");
        world.run(60);
        assert_eq!(identity(&world), green);
    }
}

#[test]
fn undo_in_place_goes_back_to_what_was_recorded_after_template_and_configuration_have_changed() {
    let mut world = configured(json!({"rolling": {}}), json!({}));
    let first = identity(&world);
    world.promote("good2");
    world.run(60);
    configure(&mut world, "green");
    let template = world.env.spec.workload.template.as_mut().unwrap();
    let container = template
        .spec
        .get_mut("template")
        .unwrap()
        .pointer_mut("/spec/containers/0")
        .unwrap();
    container["args"] = json!(["--new"]);
    world.run(60);
    let second = world.status().stable.unwrap();
    assert_eq!(second.release, "good2");
    // good1 is two back: hold what lies between
    let between = world.status().history[0].clone();
    assert_eq!(between.release, "good2");
    world.decide_environment(Verb::Hold, Some(between.identity));
    world.decide_environment(Verb::Undo, None);
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    assert_eq!(identity(&world), first);
    let live = &world.cluster.objects[&Key::new(Kind::Deployment, "web")];
    assert_eq!(live.pointer("/spec/template/spec/containers/0/args"), None);
    assert_eq!(world.status().held.len(), 1, "a good old release is not held");
}

/// Names of the copies of the ConfigMap.
fn copies(world: &World) -> Vec<Key> {
    let is_copy = |key: &&Key| key.kind == Kind::ConfigMap && key.name.ends_with(".settings");
    world.cluster.objects.keys().filter(is_copy).cloned().collect()
}

#[test]
fn a_copy_that_was_refused_or_deleted_comes_back() {
    for strategy in [
        canary(json!([{"weight": 50}, {"pause": {}}])),
        json!({"rolling": {}}),
    ] {
        let mut world = configured(strategy, json!({}));
        let of_stable = copies(&world);
        assert_eq!(of_stable.len(), 1);
        world.cluster.objects.remove(&of_stable[0]);
        world.run(2);
        assert_eq!(copies(&world), of_stable, "the stable release's");
        world.refuses = Some(|write| write.key.kind == Kind::ConfigMap);
        world.promote("good2");
        world.run(5);
        assert_eq!(copies(&world), of_stable);
        world.refuses = None;
        world.run(15);
        assert_eq!(
            copies(&world).len(),
            2,
            "the candidate's, whose workload is there"
        );
    }
}

#[test]
fn a_rollout_whose_configuration_changes_before_its_pods_are_made_begins_anew_and_nothing_is_held() {
    for strategy in [canary(json!([{"weight": 50}])), json!({"rolling": {}})] {
        let mut world = configured(strategy, json!({}));
        world.chain_away = true;
        let name = world.promote("good2");
        world.run(5);
        assert_eq!(world.doing(), Some(Doing::Waiting));
        configure(&mut world, "green");
        world.run(5);
        assert_eq!(
            world.finished(&name),
            Some((false, "ConfigurationChanged".to_owned()))
        );
        world.chain_away = false;
        world.run(90);
        assert_eq!(world.stable().as_deref(), Some("good2"));
        assert!(world.status().held.is_empty());
        assert_eq!(
            world.promotions.len(),
            3,
            "asked for again once: {:?}",
            world.promotions
        );
        assert_eq!(copies(&world).len(), 2);
    }
}

/// The environment before, in which a release is stable.
fn staging(release: &str) -> Environment {
    let mut from = environment(canary(json!([{"weight": 50}])), json!({}));
    from.metadata.name = Some("staging".to_owned());
    from.metadata.uid = Some("e0000000-0000-0000-0000-000000000002".to_owned());
    let spec = crate::build::release(release).spec;
    from.status = Some(EnvironmentStatus {
        stable: Some(DeployedRelease {
            release: release.to_owned(),
            namespace: "shop".to_owned(),
            images: spec.images,
            promotion: Some(format!("{release}-staging")),
            ..DeployedRelease::default()
        }),
        ..EnvironmentStatus::default()
    });
    from
}

#[test]
fn a_newer_release_of_the_source_is_offered_while_an_earlier_one_waits_for_approval() {
    let more = json!({"promotesFrom": {"name": "staging", "auto": true}, "approval": {"required": 1, "users": ["bob"]}});
    let mut world = World::new(environment(canary(json!([{"weight": 50}])), more));
    let asked = |world: &World| -> Vec<String> {
        let all = world.promotions.iter();
        all.map(|promotion| promotion.spec.release_ref.name.clone())
            .collect()
    };
    world.from = Some(staging("good1"));
    world.run(5);
    assert_eq!(asked(&world), ["good1"]);
    world.from = Some(staging("good2"));
    world.run(5);
    assert_eq!(asked(&world), ["good1", "good2"]);
    world.run(5);
    assert_eq!(world.promotions.len(), 2, "each once");
    // back in staging: it is asked for here already
    world.from = Some(staging("good1"));
    world.run(5);
    assert_eq!(world.promotions.len(), 2);
    let name = world.promotions[1].metadata.name.clone().unwrap();
    world.from = Some(staging("good2"));
    world.run(2);
    world.decide(&name, Verb::Approve, "bob");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert_eq!(world.promotions.len(), 2);
}
