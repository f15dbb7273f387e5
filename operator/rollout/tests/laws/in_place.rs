//! StatefulSets and DaemonSets, which are updated in place.

use dcanary_crds::{Doing, Environment, Verb};
use dcanary_rollout::Kind;
use serde_json::{Value, json};

use proptest::prelude::*;

use crate::{
    build::environment,
    random::{cases, happens},
    world::World,
};

fn of_kind(kind: &str, rolling: &Value) -> Environment {
    let template = json!({"kind": kind, "spec": {"template": {"spec": {"containers": [{"name": "app", "image": "$(images.app)"}]}}}});
    environment(
        json!({"rolling": rolling}),
        json!({"workload": {"template": template}, "traffic": null, "progressDeadline": "60s"}),
    )
}

/// With `good1` stable.
fn with(kind: &str, rolling: &Value) -> World {
    let mut world = World::new(of_kind(kind, rolling));
    world.promote("good1");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    world
}

fn pods(world: &World, release: &str) -> usize {
    world.cluster.by_release().get(release).copied().unwrap_or(0)
}

/// Goes on, Pod by Pod, until so many have this release.
fn replace(world: &mut World, release: &str, wanted: usize) {
    for _ in 0..60 {
        if pods(world, release) == wanted {
            break;
        }
        world.decide_once(usize::MAX);
        world.cluster.settle();
        world.record();
    }
    assert_eq!(pods(world, release), wanted);
}

#[test]
fn every_pod_is_replaced_and_a_release_that_does_not_come_up_goes_back() {
    for kind in ["StatefulSet", "DaemonSet"] {
        let mut world = with(kind, &json!({}));
        let all = pods(&world, "good1");
        world.promote("good2");
        world.run(60);
        assert_eq!(
            (world.stable().as_deref(), pods(&world, "good2")),
            (Some("good2"), all),
            "{kind}"
        );
        let name = world.promote("crash");
        world.run(150);
        let over = (false, "ProgressDeadlineExceeded".to_owned());
        assert_eq!(
            (world.finished(&name), pods(&world, "good2")),
            (Some(over), all),
            "{kind}"
        );
    }
}

#[test]
fn a_partition_holds_the_rollout_with_so_many_pods_replaced_until_it_is_let_on() {
    let mut world = with("StatefulSet", &json!({"partition": 3}));
    let name = world.promote("good2");
    world.run(60);
    assert_eq!((world.doing(), pods(&world, "good2")), (Some(Doing::Stepping), 1));
    world.decide(&name, Verb::Resume, "ann");
    world.run(60);
    assert_eq!(
        (world.stable().as_deref(), pods(&world, "good2")),
        (Some("good2"), 4)
    );
}

#[test]
fn one_that_is_paused_at_its_begin_replaces_its_pods_after_the_resume_before_it_comes_to_its_step() {
    let mut world = with("StatefulSet", &json!({"partition": 1}));
    let name = world.promote("good2");
    world.run_until(Doing::Starting);
    world.decide(&name, Verb::Pause, "ann");
    let before = pods(&world, "good2");
    world.run(30);
    assert!(pods(&world, "good2") <= before + 1, "no further one is replaced");
    world.decide(&name, Verb::Resume, "ann");
    world.run(60);
    assert_eq!((world.doing(), pods(&world, "good2")), (Some(Doing::Stepping), 3));
}

#[test]
fn no_pod_of_the_stable_release_goes_while_its_template_cannot_be_written_back() {
    for rolling in [json!({"onDelete": true}), json!({})] {
        let mut world = with("StatefulSet", &rolling);
        let name = world.promote("good2");
        replace(&mut world, "good2", 1);
        world.refuses = Some(|write| write.key.kind == Kind::StatefulSet);
        // the controller of a StatefulSet goes on with the template that it has; who deletes Pods does not
        world.decide(&name, Verb::Abort, "ann");
        let made = world.cluster.made;
        for _ in 0..30 {
            world.decide_once(usize::MAX);
            world.pass(5);
        }
        assert_eq!(world.cluster.made, made, "{rolling}");
        assert_eq!(pods(&world, "good1"), 3, "{rolling}");
    }
}

#[test]
fn what_a_way_back_that_a_person_ended_has_left_is_replaced_afterwards() {
    let mut world = with("StatefulSet", &json!({"onDelete": true}));
    let name = world.promote("good2");
    replace(&mut world, "good2", 3);
    world.decide(&name, Verb::Abort, "ann");
    world.decide_once(0);
    world.decide(&name, Verb::Skip, "ann");
    world.decide_once(0);
    assert!(world.outcome().is_some(), "{:?}", world.status().rollout);
    assert!(pods(&world, "good2") > 0);
    world.run(60);
    assert_eq!(pods(&world, "good1"), 4);
}

fn workloads() -> impl Strategy<Value = (&'static str, Value)> {
    prop_oneof![
        Just(("StatefulSet", json!({}))),
        Just(("StatefulSet", json!({"partition": 2}))),
        Just(("StatefulSet", json!({"onDelete": true}))),
        Just(("StatefulSet", json!({"onDelete": true, "partition": 3}))),
        Just(("DaemonSet", json!({}))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(cases()) })]
    #[test]
    fn whatever_happens_every_promotion_ends_and_all_pods_have_the_stable_release(
        (kind, rolling) in workloads(),
        history in proptest::collection::vec(happens(), 1..60),
    ) {
        let mut world = with(kind, &rolling);
        for event in history {
            world.happens(event);
        }
        world.comes_to_its_end()?;
        // what a way back has left is replaced at rest
        world.run(60);
        let (stable, all) = (world.stable().unwrap(), world.cluster.by_release());
        prop_assert_eq!(all.keys().collect::<Vec<_>>(), vec![&stable], "{:?}", all);
    }
}
