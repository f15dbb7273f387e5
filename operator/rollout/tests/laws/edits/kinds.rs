//! The strategy becomes one of another kind.

use dcanary_crds::{Doing, RolloutOutcome, StrategyKind, Verb};
use dcanary_rollout::{Key, Kind};
use serde_json::json;

use super::{edit, share, under_way};
use crate::{build::canary, world::World};

/// Whether the stable release serves, from a workload that has its template and no other.
fn stable_serves(world: &World) -> bool {
    let stable = world.status().stable.unwrap();
    let workload = &world.cluster.objects[&Key::new(Kind::Deployment, &stable.workload)];
    workload["metadata"]["annotations"]["dcanary.dev/identity"] == *stable.identity
        && world.cluster.available(&stable.workload) >= 4
        && world.cluster.shares().get(&stable.workload) == Some(&100)
}

/// Pods of all workloads but the stable release's.
fn others(world: &World) -> i64 {
    let stable = world.status().stable.unwrap().workload;
    let all = world.cluster.objects.keys();
    all.filter(|key| key.kind == Kind::Deployment && key.name != stable)
        .map(|key| world.cluster.replicas(&key.name))
        .sum()
}

#[test]
fn where_canary_becomes_blue_green_all_requests_go_back_before_the_switch() {
    let (mut world, name) = under_way(canary(json!([{"weight": 50}, {"pause": {}}])), json!({}));
    world.run_to(50);
    edit(&mut world, json!({"blueGreen": {"autoPromote": false}}));
    world.run(60);
    assert_eq!((share(&world), world.doing()), (0, Some(Doing::Stepping)));
    assert_eq!(
        world.status().rollout.unwrap().strategy.unwrap().kind,
        StrategyKind::BlueGreen
    );
    world.decide(&name, Verb::Resume, "ann");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn where_pods_are_replaced_in_another_way_it_goes_back_first_and_its_release_begins_anew() {
    for in_place_first in [false, true] {
        let beside = canary(json!([{"weight": 50}, {"pause": {}}]));
        let rolling = json!({"rolling": {}});
        let (first, then) = if in_place_first {
            (rolling, beside)
        } else {
            (beside, rolling)
        };
        let (mut world, name) = under_way(first, json!({}));
        if in_place_first {
            world.decide_once(usize::MAX);
            world.record();
            world.decide_once(usize::MAX);
            assert_eq!(world.doing(), Some(Doing::Starting));
        } else {
            world.run_to(50);
        }
        let before = world.status().stable.unwrap();
        edit(&mut world, then);
        for _ in 0..120 {
            world.run(1);
            if world.outcome() == Some(RolloutOutcome::Superseded) {
                break;
            }
        }
        assert_eq!(world.finished(&name), Some((false, "StrategyChanged".to_owned())));
        assert_eq!(world.status().stable, Some(before));
        assert_eq!(share(&world), if in_place_first { share(&world) } else { 0 });
        world.run(120);
        if in_place_first {
            assert_eq!(share(&world), 50);
            let again = world.status().rollout.unwrap().promotion;
            world.decide(&again, Verb::Resume, "ann");
            world.run(60);
        }
        assert_eq!(world.stable().as_deref(), Some("good2"));
        let in_place = world.status().stable.unwrap().workload == "web";
        assert_eq!(in_place, !in_place_first);
        assert!(world.status().held.is_empty());
    }
}

#[test]
fn the_way_straight_back_ends_as_it_began_whatever_the_strategy_becomes() {
    let steps = canary(json!([{"weight": 50}, {"pause": {"duration": "5s"}}]));
    let (mut world, _) = under_way(steps, json!({}));
    world.run(90);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    world.decide_environment(Verb::Undo, None);
    for _ in 0..20 {
        if world
            .status()
            .rollout
            .is_some_and(|rollout| rollout.straight && rollout.weight > 0)
        {
            break;
        }
        world.decide_once(usize::MAX);
        world.cluster.settle();
        world.record();
    }
    edit(&mut world, json!({"rolling": {}}));
    world.run(90);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    assert_eq!(world.outcome(), Some(RolloutOutcome::Promoted));
}

#[test]
fn a_workload_in_place_keeps_its_pods_when_the_strategy_becomes_a_canary_after_several_releases() {
    let (mut world, _) = under_way(json!({"rolling": {}}), json!({}));
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    edit(&mut world, canary(json!([{"weight": 50}])));
    world.run(60);
    assert!(world.cluster.available("web") >= 4, "it serves");
    // once another workload serves, it has time to end its requests, and no more
    world.promote("good3");
    world.run(120);
    assert_eq!(world.stable().as_deref(), Some("good3"));
    assert_eq!(world.cluster.replicas("web"), 0);
}

#[test]
fn what_came_in_place_comes_again_under_a_canary_as_it_was_whatever_came_after_it_in_place() {
    let (mut world, _) = under_way(json!({"rolling": {}}), json!({}));
    world.run(60);
    edit(&mut world, canary(json!([{"weight": 50}])));
    world.promote("good3");
    world.run(90);
    for release in ["good1", "good2", "good3"] {
        let name = world.ask(release, true);
        world.run(120);
        assert_eq!(world.finished(&name), Some((true, "Promoted".to_owned())));
        assert_eq!(world.stable().as_deref(), Some(release));
        assert!(stable_serves(&world), "{release}: {:?}", world.status().stable);
        assert_eq!(others(&world), 0);
    }
}

#[test]
fn what_came_beside_others_comes_again_in_place_and_the_deployments_of_before_lose_their_pods() {
    let (mut world, _) = under_way(canary(json!([{"weight": 50}])), json!({}));
    world.run(90);
    edit(&mut world, json!({"rolling": {}}));
    for (release, undo) in [("good3", false), ("good1", true), ("good2", true)] {
        let name = world.ask(release, undo);
        world.run(120);
        assert_eq!(world.finished(&name), Some((true, "Promoted".to_owned())));
        assert_eq!(world.status().stable.unwrap().workload, "web");
        assert!(stable_serves(&world), "{release}: {:?}", world.status().stable);
        assert_eq!(others(&world), 0);
    }
}

#[test]
fn what_fails_in_place_beside_a_stable_release_of_a_canary_loses_its_pods() {
    let more = json!({"progressDeadline": "30s"});
    let (mut world, _) = under_way(canary(json!([{"weight": 50}])), more);
    world.run(90);
    edit(&mut world, json!({"rolling": {}}));
    world.promote("crash");
    world.run(120);
    assert_eq!(world.outcome(), Some(RolloutOutcome::RolledBack));
    assert!(stable_serves(&world));
    assert_eq!(others(&world), 0);
}
