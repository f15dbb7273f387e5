//! Services without a route.

use dcanary_crds::{DeployedRelease, EnvironmentStatus, History, Rollout, labels};
use serde_json::{Value, json};

use super::{
    super::{InForce, Wanted, of},
    testing,
    world::{UID, World, blue_green, canary, wanted},
};

fn pod(world: &mut World, name: &str, release: &str) {
    let pod: Value = json!({
        "metadata": {"name": name, "labels": {labels::ENVIRONMENT_UID: UID, labels::RELEASE: release}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    });
    world.seen.pods.insert(name.to_owned(), pod);
}

#[test]
fn blue_green_switches_by_one_write() {
    let mut world = World::new(blue_green(), None).with(&["web-1", "web-2"]);
    world.reach(&wanted("web-1", Some("web-2"), 0));
    assert!(world.leads_to("web", "web-1") && world.leads_to("web-candidate", "web-2"));
    let split = world.set(&wanted("web-1", Some("web-2"), 100));
    assert_eq!(split.effects.len(), 1);
    assert!(world.leads_to("web", "web-2"));
    assert_eq!(
        world.set(&wanted("web-1", Some("web-2"), 100)).in_force,
        InForce::Yes
    );
    // The rest of the promotion changes nothing for requests.
    world.reach(&wanted("web-2", Some("web-2"), 100));
    world.reach(&wanted("web-2", None, 0));
    assert!(
        world
            .switches
            .iter()
            .filter(|switch| switch.service == "web")
            .count()
            == 1
    );
}

#[test]
fn canary_selects_the_pods_of_both_releases_while_they_share() {
    let mut world = World::new(canary(Vec::new()), None).with(&["web-1", "web-2"]);
    world.reach(&wanted("web-1", Some("web-2"), 0));
    assert!(world.leads_to("web", "web-1"));
    world.reach(&wanted("web-1", Some("web-2"), 25));
    assert_eq!(world.selector("web"), json!({labels::ENVIRONMENT_UID: UID}));
    world.reach(&wanted("web-1", Some("web-2"), 100));
    assert!(world.leads_to("web", "web-2"));
}

#[test]
fn pods_of_an_earlier_release_get_no_share() {
    let mut world = World::new(canary(Vec::new()), None).with(&["web-1", "web-2"]);
    world.reach(&wanted("web-1", Some("web-2"), 0));
    pod(&mut world, "a", "web-1");
    pod(&mut world, "b", "web-2");
    pod(&mut world, "c", "web-0");
    let split = world.ask(&wanted("web-1", Some("web-2"), 50));
    assert!(split.effects.is_empty());
    assert!(format!("{:?}", split.in_force).contains("NotYet"));
    world.env.spec.history = Some(History {
        ready: Some(1),
        limit: None,
    });
    assert!(
        world
            .reason(&wanted("web-1", Some("web-2"), 50))
            .starts_with("RouteNeeded: Pods of web-0")
    );
    world.seen.pods.remove("c");
    world.reach(&wanted("web-1", Some("web-2"), 50));
}

#[test]
fn an_adopted_deployment_without_our_labels_cannot_share_by_pods() {
    let mut world = World::new(canary(Vec::new()), None).with(&["web-2"]);
    world.workload("shop", &json!({"app": "shop"}));
    world.env.spec.workload.reference = Some(dcanary_crds::WorkloadRef {
        name: "shop".to_owned(),
    });
    world.reach(&wanted("shop", Some("web-2"), 0));
    assert_eq!(world.selector("web"), json!({"app": "shop"}));
    assert!(
        world
            .reason(&wanted("shop", Some("web-2"), 10))
            .starts_with("RouteNeeded: ")
    );
    assert_eq!(world.selector("web"), json!({"app": "shop"}));
    world.reach(&wanted("shop", Some("web-2"), 100));
    assert!(world.leads_to("web", "web-2"));
}

#[test]
fn a_candidate_whose_pods_the_adopted_selector_fits_gets_no_weight() {
    let mut world = World::new(blue_green(), None);
    world.workload("shop", &json!({"app": "shop"}));
    world.workload(
        "web-2",
        &json!({"app": "shop", labels::ENVIRONMENT_UID: UID, labels::RELEASE: "web-2"}),
    );
    world.env.spec.workload.reference = Some(dcanary_crds::WorkloadRef {
        name: "shop".to_owned(),
    });
    world.reach(&wanted("shop", Some("web-2"), 0));
    assert!(
        world
            .reason(&wanted("shop", Some("web-2"), 100))
            .starts_with("SelectorOverlaps: ")
    );
}

#[test]
fn mirrors_and_testers_need_a_route() {
    let world = World::new(canary(vec![testing::header("x", "1")]), None).with(&["web-1", "web-2"]);
    let plain = wanted("web-1", Some("web-2"), 10);
    for asked in [
        Wanted { mirror: 5, ..plain },
        Wanted {
            testers: true,
            ..plain
        },
    ] {
        assert!(world.reason(&asked).starts_with("RouteNeeded: "));
    }
}

#[test]
fn the_weight_is_the_share_of_ready_pods() {
    let mut world = World::new(canary(Vec::new()), None).with(&["web-1", "web-2"]);
    world.env.status = Some(EnvironmentStatus {
        stable: Some(DeployedRelease {
            workload: "web-1".to_owned(),
            ..DeployedRelease::default()
        }),
        rollout: Some(Rollout {
            workload: "web-2".to_owned(),
            ..Rollout::default()
        }),
        ..EnvironmentStatus::default()
    });
    let weight = |world: &World| of(&world.env, &world.seen, None).unwrap().weight();
    assert_eq!(weight(&world), None);
    world.reach(&wanted("web-1", Some("web-2"), 0));
    assert_eq!(weight(&world), Some(0));
    for (name, release) in [("a", "web-1"), ("b", "web-1"), ("c", "web-1"), ("d", "web-2")] {
        pod(&mut world, name, release);
    }
    world.reach(&wanted("web-1", Some("web-2"), 25));
    assert_eq!(weight(&world), Some(25));
    world.reach(&wanted("web-1", Some("web-2"), 100));
    assert_eq!(weight(&world), Some(100));
}

#[test]
fn removed_services_are_gone() {
    let mut world = World::new(blue_green(), None).with(&["web-1"]);
    world.reach(&wanted("web-1", None, 0));
    world.remove();
    assert_eq!(world.seen.objects.len(), 1);
}

#[test]
fn pods_of_a_release_that_was_left_behind_share_by_the_name_of_the_environment() {
    let mut world = World::new(canary(Vec::new()), None).with(&["web-2"]);
    let before =
        json!({labels::ENVIRONMENT: "web", labels::ENVIRONMENT_UID: "before", labels::RELEASE: "web-1"});
    world.workload("web-1", &before);
    world.env.status = Some(EnvironmentStatus {
        stable: Some(DeployedRelease {
            workload: "web-1".to_owned(),
            ..DeployedRelease::default()
        }),
        ..EnvironmentStatus::default()
    });
    world.reach(&wanted("web-1", Some("web-2"), 0));
    world.reach(&wanted("web-1", Some("web-2"), 25));
    assert_eq!(world.selector("web"), json!({labels::ENVIRONMENT: "web"}));
}
