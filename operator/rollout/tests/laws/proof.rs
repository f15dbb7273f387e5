//! Weights that requests have to show, before a gateway that says that it follows a route some time before it does.

use dcanary_crds::{ConditionType, Doing, Verb};
use serde_json::{Value, json};

use crate::{
    build::{canary, environment},
    world::World,
};

/// Seconds: longer than endpoints and connections are given elsewhere.
const LAG: i64 = 12;
const CLOSED: &str = "cannot be reached for the check of the new weights: Connection refused";

fn steps() -> Value {
    canary(
        json!([{"weight": 20}, {"pause": {"duration": "10s"}}, {"weight": 60}, {"pause": {"duration": "10s"}}]),
    )
}

/// The first release is stable, behind a gateway that is asked.
fn world(strategy: Value, more: &Value) -> World {
    let mut spec = json!({"traffic": {
        "ports": [{"port": 80, "targetPort": 8080}], "drain": "10s",
        "route": {"template": {"parentRefs": [{"name": "gateway"}]}, "verify": {"url": "http://gateway.infra"}},
    }});
    for (key, value) in more.as_object().unwrap() {
        spec[key] = value.clone();
    }
    let mut world = World::new(environment(strategy, spec));
    world.plane.lag = Some(LAG);
    world.promote("good1");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    assert_eq!(world.plane.asked, 0, "nothing is split");
    world
}

fn until(world: &mut World, what: &str, mut holds: impl FnMut(&World) -> bool) -> i64 {
    for second in 0..300 {
        if holds(world) {
            return second;
        }
        world.run(1);
    }
    panic!("{what}: {:#?}", world.status().rollout);
}

#[test]
fn no_weight_counts_and_no_pods_go_before_the_data_plane_has_it() {
    let strategies = [steps(), json!({"blueGreen": {"scaleDownDelay": "10s"}})];
    for strategy in strategies {
        let mut world = world(strategy, &json!({}));
        for release in ["good2", "good3", "good1"] {
            let name = world.promote(release);
            until(&mut world, release, |world| world.finished(&name).is_some());
            assert_eq!(world.stable().as_deref(), Some(release));
        }
        world.run(60);
        assert!(
            !world
                .cluster
                .objects
                .values()
                .any(|object| object.to_string().contains("well-known"))
        );
    }
}

#[test]
fn pods_that_are_gone_back_from_stay_until_the_data_plane_sends_them_nothing() {
    for mode in ["Immediate", "Steps"] {
        let mut world = world(steps(), &json!({"rollback": {"mode": mode}}));
        let name = world.promote("good2");
        until(&mut world, "60 %", |world| {
            world.status().rollout.is_some_and(|rollout| rollout.weight == 60)
        });
        let workload = world.status().rollout.unwrap().workload;
        world.decide(&name, Verb::Abort, "ann");
        let back = until(&mut world, "it ends", |world| world.finished(&name).is_some());
        assert!(back <= 3, "it goes back at once, after {back} s");
        let gone = until(&mut world, "its Pods go", |world| {
            world.cluster.replicas(&workload) == 0
        });
        assert!(gone >= LAG + 8, "after {gone} s");
        world.run(5);
        assert!(
            !world
                .cluster
                .objects
                .values()
                .any(|object| object.to_string().contains("well-known"))
        );
        // and nothing of it is in the way of the next
        world.promote("good3");
        until(&mut world, "good3", |world| {
            world.stable().as_deref() == Some("good3")
        });
    }
}

#[test]
fn a_gateway_that_never_shows_it_holds_up_a_step_which_goes_back_at_the_deadline() {
    let mut world = world(steps(), &json!({"progressDeadline": "60s"}));
    world.plane.answers = Some(CLOSED);
    let name = world.promote("good2");
    let asked = |world: &World| {
        world
            .status()
            .rollout
            .is_some_and(|rollout| rollout.reason == "RouteUnverified")
    };
    until(&mut world, "it waits", asked);
    world.run(20);
    let status = world.status();
    let rollout = status.rollout.unwrap();
    assert_eq!((rollout.doing, rollout.weight), (Doing::Stepping, 0));
    for part in [
        "http://gateway.infra",
        "Connection refused",
        "/.well-known/dcanary/",
    ] {
        assert!(rollout.message.contains(part), "{}", rollout.message);
    }
    let progressing = status
        .conditions
        .iter()
        .find(|condition| condition.kind == ConditionType::Progressing);
    assert_eq!(progressing.unwrap().reason, "RouteUnverified");
    until(&mut world, "it ends", |world| world.finished(&name).is_some());
    assert_eq!(
        world.finished(&name),
        Some((false, "ProgressDeadlineExceeded".to_owned()))
    );
    assert_eq!(world.stable().as_deref(), Some("good1"));
}

#[test]
fn going_back_never_waits_for_it_and_pods_stay_for_half_a_minute_at_most() {
    let mut world = world(steps(), &json!({}));
    let name = world.promote("good2");
    until(&mut world, "60 %", |world| {
        world.status().rollout.is_some_and(|rollout| rollout.weight == 60)
    });
    let workload = world.status().rollout.unwrap().workload;
    world.plane.answers = Some(CLOSED);
    world.decide(&name, Verb::Abort, "ann");
    let back = until(&mut world, "it ends", |world| world.finished(&name).is_some());
    assert!(back <= 3, "after {back} s");
    let gone = until(&mut world, "its Pods go", |world| {
        world.cluster.replicas(&workload) == 0
    });
    assert!(
        (38..=44).contains(&gone),
        "30 s and the time to drain, and not after {gone} s"
    );
}

#[test]
fn what_was_there_before_comes_again_also_past_a_gateway_that_never_shows_it() {
    let mut world = world(steps(), &json!({}));
    let name = world.promote("good2");
    until(&mut world, "good2", |world| world.finished(&name).is_some());
    world.run(60);
    world.plane.answers = Some(CLOSED);
    world.decide_environment(Verb::Undo, None);
    let back = until(&mut world, "good1", |world| {
        world.stable().as_deref() == Some("good1")
    });
    assert!(back <= 80, "after {back} s");
}

#[test]
fn a_gateway_is_asked_once_a_second_until_it_has_shown_a_split_and_then_no_more() {
    let mut world = world(
        canary(json!([{"weight": 20}, {"pause": {}}, {"weight": 60}])),
        &json!({}),
    );
    world.promote("good2");
    let seconds = until(&mut world, "20 %", |world| {
        world.status().rollout.is_some_and(|rollout| rollout.weight == 20)
    });
    let asked = world.plane.asked;
    assert!(
        asked <= usize::try_from(seconds).unwrap() + 2,
        "{asked} times in {seconds} s"
    );
    world.run(60);
    assert_eq!(world.plane.asked, asked, "the split is the same");
    world.check = None;
    world.run(30);
    assert_eq!(world.plane.asked, asked + 1, "a restart forgets the answer");
    assert_eq!(world.status().rollout.unwrap().unverified_since, None);
}

#[test]
fn a_route_that_has_no_room_for_the_rule_by_now_keeps_nothing_back_that_returns() {
    let mut world = world(steps(), &json!({}));
    let name = world.promote("good2");
    until(&mut world, "good2", |world| world.finished(&name).is_some());
    world.run(30);
    // nobody is left who could show anything
    world.plane.answers = Some(CLOSED);
    let traffic = world.env.spec.traffic.as_mut().unwrap();
    let template = traffic.route.as_mut().unwrap().template.as_mut().unwrap();
    let rules: Value = (0..16)
        .map(|n| json!({"matches": [{"path": {"type": "PathPrefix", "value": format!("/{n}")}}]}))
        .collect();
    template.rules = serde_json::from_value(rules).unwrap();
    world.env.metadata.generation = Some(2);
    world.decide_environment(Verb::Undo, None);
    let back = until(&mut world, "good1", |world| {
        world.stable().as_deref() == Some("good1")
    });
    assert!(back <= 110, "after {back} s");
}
