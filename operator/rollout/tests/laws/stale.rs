//! The numbers of a workload are about an earlier spec: its controller has not followed yet.

use dcanary_rollout::{Key, Kind};
use serde_json::json;

use crate::{
    build::{canary, environment},
    world::World,
};

/// `good2` is stable, and the Pods of `good1` are being taken away: its Deployment has zero replicas, and its status says four of them yet.
fn while_the_old_pods_go() -> (World, String) {
    let mut world = World::new(environment(canary(json!([{"weight": 50}])), json!({})));
    world.promote("good1");
    world.run(60);
    let name = world.promote("good2");
    while world.finished(&name).is_none() {
        world.run(1);
    }
    let old = world.status().history[0].workload.clone();
    for _ in 0..60 {
        world.decide_once(usize::MAX);
        world.record();
        if world.cluster.replicas(&old) == 0 {
            assert_eq!(world.cluster.available(&old), 4);
            return (world, old);
        }
        world.pass(1);
    }
    panic!("its Pods stay: {:?}", world.status().history);
}

#[test]
fn no_request_goes_to_pods_that_a_scale_to_zero_may_be_taking_away() {
    let (mut world, old) = while_the_old_pods_go();
    let name = world.ask("good1", true);
    let key = Key::new(Kind::Deployment, &old);
    for _ in 0..20 {
        world.decide_once(usize::MAX);
        world.record();
        // everybody follows but the controller of that Deployment
        let status = world.cluster.objects[&key]["status"].clone();
        world.cluster.settle();
        world.cluster.objects.get_mut(&key).unwrap()["status"] = status;
        assert_eq!(world.cluster.shares().get(&old).copied().unwrap_or(0), 0);
        world.pass(1);
    }
    assert_eq!(world.cluster.replicas(&old), 4, "they are asked for again");
    world.run(60);
    assert_eq!(world.finished(&name), Some((true, "Promoted".to_owned())));
    assert_eq!(world.cluster.shares().get(&old), Some(&100));
}
