//! Edits of the Environment in the middle of a rollout.

mod kinds;
mod random;

use dcanary_crds::{Doing, Verb};
use serde_json::{Value, json};

use crate::{
    build::{canary, environment},
    world::World,
};

fn metric(limit: f64) -> Value {
    json!({"metrics": [{"name": "errors", "interval": "5s", "count": 2, "success": format!("result < {limit}"),
        "prometheus": {"address": "http://prometheus", "query": "up"}}]})
}

fn edit(world: &mut World, strategy: Value) {
    world.env.spec.strategy = serde_json::from_value(strategy).unwrap();
    world.env.metadata.generation = world.env.metadata.generation.map(|generation| generation + 1);
}

/// `good1` is stable, `good2` on its way under this strategy.
fn under_way(strategy: Value, more: Value) -> (World, String) {
    let mut world = World::new(environment(strategy, more));
    world.promote("good1");
    world.run(60);
    let name = world.promote("good2");
    (world, name)
}

fn share(world: &World) -> i64 {
    let workload = world.status().rollout.unwrap().workload;
    world.cluster.shares().get(&workload).copied().unwrap_or(0)
}

#[test]
fn where_later_steps_are_removed_the_steps_begin_again_and_nothing_is_promoted_at_once() {
    let before = json!([{"weight": 20}, {"pause": {"duration": "5s"}}, {"weight": 50}, {"pause": {}}]);
    let (mut world, name) = under_way(canary(before), json!({}));
    world.run_to(50);
    world.run(5);
    edit(&mut world, canary(json!([{"weight": 20}, {"pause": {}}])));
    world.run(120);
    assert_eq!((share(&world), world.doing()), (20, Some(Doing::Stepping)));
    let rollout = world.status().rollout.unwrap();
    assert_eq!((rollout.step, rollout.reason.as_str()), (1, "PausedByStep"));
    assert!(rollout.strategy.unwrap().edited_at.is_some());
    world.decide(&name, Verb::Resume, "ann");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn an_edit_never_gives_the_candidate_more_requests_than_it_has_and_a_pause_is_waited_for_anew() {
    let before = json!([{"weight": 20}, {"pause": {}}]);
    let (mut world, _) = under_way(canary(before), json!({}));
    world.run_to(20);
    let after = json!([{"pause": {"duration": "30s"}}, {"weight": 80}, {"pause": {}}]);
    edit(&mut world, canary(after));
    world.run(20);
    assert_eq!(share(&world), 0, "the step before the first weight has none");
    world.run(60);
    assert_eq!(share(&world), 80);
}

#[test]
fn steps_that_are_edited_after_the_last_one_are_passed_before_the_release_is_promoted() {
    let analysis = metric(0.1);
    for doing in [Doing::Promoting, Doing::Verifying] {
        let more = json!({"hooks": {"postDeploy": [{"name": "smoke", "image": "tool", "steps": [{"run": "true"}]}]}});
        let (mut world, _) = under_way(canary(json!([{"weight": 50}])), more);
        for _ in 0..400 {
            if world.doing() == Some(doing) {
                break;
            }
            world.decide_once(usize::MAX);
            world.cluster.settle();
            world.record();
            if world.doing() != Some(doing) {
                world.pass(1);
            }
        }
        assert_eq!(world.doing(), Some(doing));
        edit(
            &mut world,
            canary(json!([{"weight": 10}, {"analysis": analysis}, {"pause": {}}])),
        );
        world.run(60);
        assert_eq!(
            (world.stable().as_deref(), share(&world)),
            (Some("good1"), 10),
            "{doing:?}"
        );
        assert_eq!(world.status().rollout.unwrap().step, 2);
    }
}

#[test]
fn an_analysis_of_edited_steps_is_measured_anew() {
    let steps = |limit| canary(json!([{"weight": 50}, {"analysis": metric(limit)}, {"pause": {}}]));
    let (mut world, name) = under_way(steps(0.1), json!({}));
    world.run(60);
    assert_eq!(world.status().rollout.unwrap().step, 2);
    edit(&mut world, steps(-1.0));
    world.run(60);
    assert_eq!(world.finished(&name), Some((false, "AnalysisFailed".to_owned())));
}

#[test]
fn edits_of_analyses_alone_begin_these_anew_and_leave_the_steps() {
    let (mut world, name) = under_way(
        canary(json!([{"weight": 50}, {"pause": {}}])),
        json!({"analysis": {"metrics": [{"name": "errors", "interval": "5s", "success": "result < 0.1", "failure": "result > 9.0", "inconclusiveLimit": 0,
            "prometheus": {"address": "http://prometheus", "query": "up"}}]}}),
    );
    world.metric_away = true;
    world.run(60);
    assert_eq!(world.status().rollout.unwrap().reason, "AnalysisInconclusive");
    world.env.spec.analysis = None;
    world.run(5);
    let rollout = world.status().rollout.unwrap();
    assert_eq!((rollout.step, rollout.reason.as_str()), (1, "PausedByStep"));
    world.decide(&name, Verb::Resume, "ann");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn steps_that_cannot_be_followed_hold_the_rollout_where_it_is() {
    let (mut world, _) = under_way(
        canary(json!([{"weight": 20}, {"pause": {"duration": "20s"}}])),
        json!({}),
    );
    world.run_to(20);
    edit(&mut world, canary(json!([{"weight": 50}, {"weight": 40}])));
    world.run(90);
    assert_eq!(share(&world), 20);
    assert_eq!(world.status().rollout.unwrap().reason, "InvalidSpec");
    edit(&mut world, canary(json!([{"weight": 40}])));
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn what_no_step_depends_on_is_edited_without_beginning_again() {
    let steps = json!([{"weight": 50}, {"pause": {}}]);
    let (mut world, _) = under_way(canary(steps.clone()), json!({}));
    world.run(30);
    world.env.spec.replicas = Some(6);
    edit(
        &mut world,
        json!({"canary": {"steps": steps, "scaleDownDelay": "20s", "testers": [{"header": {"name": "x", "value": "y"}}]}}),
    );
    world.run(30);
    let rollout = world.status().rollout.unwrap();
    assert_eq!((rollout.step, rollout.strategy.unwrap().edited_at), (1, None));
}

#[test]
fn a_weight_that_is_still_on_its_way_is_taken_back_before_the_first_edited_step() {
    let (mut world, _) = under_way(canary(json!([{"weight": 50}, {"pause": {}}])), json!({}));
    for _ in 0..50 {
        world.decide_once(usize::MAX);
        if world
            .status()
            .rollout
            .is_some_and(|rollout| rollout.wanted_weight > 0)
        {
            break;
        }
        world.cluster.settle();
        world.record();
    }
    world.cluster.silent = true;
    let rollout = world.status().rollout.unwrap();
    assert_eq!((rollout.wanted_weight, rollout.weight), (50, 0));
    edit(
        &mut world,
        canary(json!([{"pause": {"duration": "1s"}}, {"weight": 60}])),
    );
    world.run(30);
    let rollout = world.status().rollout.unwrap();
    assert_eq!((rollout.step, rollout.reason.as_str()), (0, "WaitingForRoute"));
    world.cluster.silent = false;
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn a_pause_of_edited_steps_lasts_from_when_no_request_goes_to_the_candidate_any_more() {
    let (mut world, _) = under_way(canary(json!([{"weight": 50}, {"pause": {}}])), json!({}));
    while world
        .status()
        .rollout
        .is_none_or(|rollout| rollout.wanted_weight == 0)
    {
        world.decide_once(usize::MAX);
        world.cluster.settle();
        world.record();
    }
    world.cluster.silent = true;
    assert_eq!(world.status().rollout.unwrap().weight, 0, "it is on its way");
    edit(
        &mut world,
        canary(json!([{"pause": {"duration": "30s"}}, {"weight": 60}])),
    );
    world.run(60);
    world.cluster.silent = false;
    world.run(20);
    assert_eq!((share(&world), world.status().rollout.unwrap().step), (0, 0));
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}
