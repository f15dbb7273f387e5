//! Earlier releases come again without their Release, as they were, or say at once that they cannot.

use dcanary_crds::{Doing, Verb};
use dcanary_rollout::{Key, Kind};
use serde_json::{Value, json};

use crate::{
    build::{NAMESPACE, canary, environment},
    world::World,
};

fn strategies() -> [Value; 2] {
    [
        canary(json!([{"weight": 50}, {"pause": {"duration": "5s"}}])),
        json!({"rolling": {}}),
    ]
}

/// A world in which `good2` is stable after `good1`.
fn twice(strategy: Value, more: Value) -> World {
    let mut world = World::new(environment(strategy, more));
    for release in ["good1", "good2"] {
        world.promote(release);
        world.run(90);
        assert_eq!(world.stable().as_deref(), Some(release));
    }
    world
}

/// As Git prunes it.
fn prune(world: &mut World, release: &str) {
    world
        .releases
        .remove(&(NAMESPACE.to_owned(), release.to_owned()))
        .unwrap();
}

/// Name of the Promotion that an undo asked for.
fn asked(world: &World) -> String {
    let last = world.promotions.last().unwrap();
    assert!(last.spec.undo);
    last.metadata.name.clone().unwrap()
}

#[test]
fn undo_needs_no_release_while_the_objects_of_the_earlier_one_are_there() {
    for strategy in strategies() {
        let mut world = twice(strategy, json!({}));
        let before = world.status().history[0].clone();
        prune(&mut world, "good1");
        world.decide_environment(Verb::Undo, None);
        world.run(60);
        let stable = world.status().stable.unwrap();
        assert_eq!(
            (&stable.release, &stable.identity),
            (&before.release, &before.identity)
        );
        assert_eq!(stable.digest, before.digest, "the ledger knows it by the same");
        assert_eq!(world.cluster.available(&stable.workload), 4);
        assert!(world.machine.is_some(), "the ledger took it");
        world.promote("good3");
        world.run(90);
        assert_eq!(world.stable().as_deref(), Some("good3"));
    }
}

#[test]
fn a_promotion_with_undo_by_name_needs_no_release_either() {
    let mut world = twice(strategies()[0].clone(), json!({}));
    prune(&mut world, "good1");
    let name = world.ask("good1", true);
    world.run(60);
    assert_eq!(world.finished(&name), Some((true, "Promoted".to_owned())));
    assert_eq!(world.stable().as_deref(), Some("good1"));
}

#[test]
fn where_the_objects_are_gone_too_it_is_refused_at_once_and_says_what_to_do() {
    for strategy in strategies() {
        let mut world = twice(strategy.clone(), json!({}));
        let earlier = world.status().history[0].clone();
        prune(&mut world, "good1");
        world.cluster.objects.retain(|_, object| {
            object["metadata"]["annotations"]["dcanary.dev/identity"] != earlier.identity.as_str()
        });
        world.decide_environment(Verb::Undo, None);
        world.run(10);
        let name = asked(&world);
        assert_eq!(
            world.finished(&name),
            Some((false, "EarlierReleaseGone".to_owned())),
            "{strategy}"
        );
        let ended = world
            .promotions
            .last()
            .unwrap()
            .status
            .clone()
            .unwrap()
            .conditions;
        assert!(
            ended[0]
                .message
                .contains("create Release good1 in namespace shop"),
            "{}",
            ended[0].message
        );
        assert_eq!(world.stable().as_deref(), Some("good2"));
        assert!(world.status().held.is_empty());
    }
}

#[test]
fn a_way_back_whose_objects_are_gone_is_made_anew_from_its_release() {
    let mut world = twice(strategies()[0].clone(), json!({}));
    let earlier = world.status().history[0].workload.clone();
    world
        .cluster
        .objects
        .remove(&Key::new(Kind::Deployment, &earlier));
    world.decide_environment(Verb::Undo, None);
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    assert_eq!(world.cluster.available(&earlier), 4);
}

fn configure(world: &mut World, colour: &str) {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": "shop"},
        "data": {"colour": colour}});
    world
        .cluster
        .objects
        .insert(Key::new(Kind::ConfigMap, "settings"), object);
}

#[test]
fn undo_goes_to_the_configuration_that_it_names_where_one_release_had_several() {
    let workload = json!({"workload": {"configMaps": ["settings"], "template": {"spec": {"template": {"spec": {
        "containers": [{"name": "app", "image": "$(images.app)", "envFrom": [{"configMapRef": {"name": "settings"}}]}]}}}}}});
    for strategy in strategies() {
        let mut world = World::new(environment(strategy, workload.clone()));
        configure(&mut world, "blue");
        world.promote("good1");
        world.run(60);
        let blue = world.status().stable.unwrap().identity;
        configure(&mut world, "green");
        world.run(60);
        let green = world.status().stable.unwrap().identity;
        world.promote("good2");
        world.run(60);
        world.decide_environment(Verb::Hold, Some(green.clone()));
        world.decide_environment(Verb::Undo, None);
        world.run(60);
        let name = asked(&world);
        assert_eq!(world.finished(&name), Some((true, "Promoted".to_owned())));
        assert_eq!(world.status().stable.unwrap().identity, blue);
        // by name alone the held one is not meant either
        world.promote("good2");
        world.run(60);
        let by_name = world.ask("good1", true);
        world.run(60);
        assert_eq!(world.finished(&by_name), Some((true, "Promoted".to_owned())));
        assert_eq!(world.status().stable.unwrap().identity, blue);
        assert_ne!(blue, green);
    }
}

/// A world in which `good1` has replaced an adopted Deployment, `seconds` ago.
fn adopted(more: Value, seconds: i64) -> World {
    let mut spec = json!({"workload": {"ref": {"name": "legacy"}}});
    for (field, value) in more.as_object().unwrap() {
        spec[field] = value.clone();
    }
    let mut world = World::new(environment(canary(json!([{"weight": 50}])), spec));
    let legacy = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "legacy", "namespace": "shop"},
        "spec": {"replicas": 4, "selector": {"matchLabels": {"app": "legacy"}}, "template": {
            "metadata": {"labels": {"app": "legacy"}}, "spec": {"containers": [{"name": "app", "image": "legacy:1"}]}}},
    });
    assert!(
        world
            .cluster
            .write(&Key::new(Kind::Deployment, "legacy"), &legacy)
    );
    world.run(5);
    world.promote("good1");
    while world.stable().as_deref() != Some("good1") {
        world.run(1);
    }
    world.run(seconds);
    world
}

#[test]
fn undo_goes_back_to_an_adopted_deployment_while_its_pods_are_there_and_after() {
    for (more, seconds) in [
        (json!({}), 2),
        (json!({}), 60),
        (json!({"traffic": null}), 2),
        (json!({"traffic": null}), 60),
    ] {
        let mut world = adopted(more, seconds);
        let template =
            world.cluster.objects[&Key::new(Kind::Deployment, "legacy")]["spec"]["template"].clone();
        world.decide_environment(Verb::Undo, None);
        world.run(60);
        let name = asked(&world);
        assert_eq!(world.finished(&name), Some((true, "Promoted".to_owned())));
        let stable = world.status().stable.unwrap();
        assert_eq!(
            (stable.release.as_str(), stable.workload.as_str()),
            ("", "legacy")
        );
        assert_eq!(world.cluster.available("legacy"), 4);
        let legacy = &world.cluster.objects[&Key::new(Kind::Deployment, "legacy")];
        assert_eq!(legacy["spec"]["template"], template, "it is as it was");
        if let Some(service) = world.cluster.objects.get(&Key::new(Kind::Service, "web")) {
            assert_eq!(service["spec"]["selector"], json!({"app": "legacy"}));
        }
        world.promote("good2");
        world.run(90);
        assert_eq!(world.stable().as_deref(), Some("good2"));
        assert_eq!(world.cluster.replicas("legacy"), 0);
    }
}

#[test]
fn a_late_abort_of_the_first_release_goes_back_to_what_was_adopted() {
    let mut world = adopted(json!({}), 2);
    let name = world.promotions[0].metadata.name.clone().unwrap();
    world.decide(&name, Verb::Abort, "ann");
    world.run(60);
    assert_eq!(world.status().stable.unwrap().workload, "legacy");
}

#[test]
fn an_adopted_deployment_that_was_changed_or_is_gone_is_not_gone_back_to() {
    for gone in [true, false] {
        let mut world = adopted(json!({}), 60);
        let key = Key::new(Kind::Deployment, "legacy");
        if gone {
            world.cluster.objects.remove(&key);
        } else {
            let legacy = world.cluster.objects.get_mut(&key).unwrap();
            legacy["spec"]["template"]["spec"]["containers"][0]["image"] = "legacy:2".into();
        }
        world.decide_environment(Verb::Undo, None);
        world.run(10);
        let name = asked(&world);
        assert_eq!(
            world.finished(&name),
            Some((false, "EarlierReleaseGone".to_owned()))
        );
        assert_ne!(world.doing(), Some(Doing::Starting));
        assert_eq!(world.stable().as_deref(), Some("good1"));
    }
}

/// `good2` with green configuration is stable after `good1` with blue; what `good1` was.
fn configured() -> (World, String) {
    let more = json!({"workload": {"configMaps": ["settings"], "template": {"spec": {"template": {"spec": {
        "containers": [{"name": "app", "image": "$(images.app)", "envFrom": [{"configMapRef": {"name": "settings"}}]}]}}}}}});
    let mut world = World::new(environment(strategies()[0].clone(), more));
    configure(&mut world, "blue");
    world.promote("good1");
    world.run(60);
    let blue = world.status().stable.unwrap().identity;
    // what waits takes the configuration with it
    configure(&mut world, "green");
    world.promote("good2");
    world.run(90);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert_eq!(world.status().history[0].identity, blue);
    (world, blue)
}

#[test]
fn an_undo_brings_the_configuration_that_it_names_or_nothing() {
    let (mut world, blue) = configured();
    let workload = world.status().history[0].workload.clone();
    let key = Key::new(Kind::Deployment, &workload);
    world.cluster.objects.remove(&key);
    world.decide_environment(Verb::Undo, None);
    world.run(60);
    let name = asked(&world);
    assert_eq!(
        world.finished(&name),
        Some((false, "EarlierReleaseGone".to_owned()))
    );
    assert_eq!(world.stable().as_deref(), Some("good2"));
    let status = world.promotions.last().unwrap().status.clone().unwrap();
    let said = &status.conditions[0].message;
    for part in [
        "what it was as",
        blue.as_str(),
        "is gone",
        "`dcanary promote web good1`",
    ] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn an_undo_to_what_is_stable_by_now_ends_as_already_stable() {
    for pruned in [false, true] {
        let (mut world, blue) = configured();
        for made in ["first", "second"] {
            world.pass(1);
            let mut undo = crate::build::promotion(made, "good1", world.now, true);
            undo.spec.identity = Some(blue.clone());
            world.promotions.push(undo);
            while made == "first" && world.doing() != Some(Doing::Promoting) {
                world.decide_once(usize::MAX);
                world.cluster.settle();
                world.record();
            }
        }
        if pruned {
            prune(&mut world, "good1");
        }
        world.run(90);
        assert_eq!(world.finished("first"), Some((true, "Promoted".to_owned())));
        assert_eq!(
            world.finished("second"),
            Some((true, "AlreadyStable".to_owned())),
            "pruned: {pruned}"
        );
        assert_eq!(world.status().stable.unwrap().identity, blue);
    }
}
