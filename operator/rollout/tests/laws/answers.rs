//! One `resume` answers the question that the condition shows at that time.

use dcanary_crds::Verb;
use serde_json::{Value, json};

use crate::{
    build::{canary, environment},
    world::World,
};

fn analysis(count: i32) -> Value {
    json!({"metrics": [{"name": "errors", "interval": "5s", "count": count, "success": "result < 0.1",
        "prometheus": {"address": "http://prometheus", "query": "up"}}]})
}

/// `good2` on its way after `good1`, with no answer from the source of the metrics.
fn unmeasured(strategy: Value, more: Value) -> (World, String) {
    let mut world = World::new(environment(strategy, more));
    world.promote("good1");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    world.metric_away = true;
    let name = world.promote("good2");
    (world, name)
}

fn reason(world: &World) -> String {
    world.status().rollout.unwrap().reason
}

#[test]
fn a_resume_for_an_analysis_that_could_not_tell_does_not_pass_the_pause_behind_it() {
    let steps = json!([{"weight": 50}, {"pause": {}}]);
    let background = json!({"metrics": [{"name": "errors", "interval": "5s", "success": "result < 0.1",
        "prometheus": {"address": "http://prometheus", "query": "up"}}]});
    let (mut world, name) = unmeasured(canary(steps), json!({"analysis": background}));
    world.run(60);
    assert_eq!(reason(&world), "AnalysisInconclusive");
    world.metric_away = false;
    world.decide(&name, Verb::Resume, "ann");
    world.run(60);
    assert_eq!(reason(&world), "PausedByStep");
    assert_eq!(world.stable().as_deref(), Some("good1"));
    world.decide(&name, Verb::Resume, "ann");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn each_analysis_after_the_switch_that_could_not_tell_has_its_own_answer() {
    let strategy = json!({"blueGreen": {"scaleDownDelay": "10s", "postPromotionAnalysis": analysis(5)}});
    let (mut world, name) = unmeasured(strategy, json!({"analysis": analysis(5)}));
    world.run(90);
    for answers in 0..2 {
        assert_eq!(reason(&world), "AnalysisInconclusive", "after {answers}");
        assert_eq!(world.stable().as_deref(), Some("good1"), "after {answers}");
        world.decide(&name, Verb::Resume, "ann");
        world.run(60);
    }
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn a_resume_while_a_step_still_measures_answers_nothing_that_comes_later() {
    let steps = json!([{"weight": 50}, {"analysis": analysis(5)}]);
    let (mut world, name) = unmeasured(canary(steps), json!({}));
    world.run_to(50);
    world.run(3);
    assert_eq!(reason(&world), "Analysis");
    world.decide(&name, Verb::Resume, "ann");
    world.run(60);
    assert_eq!(reason(&world), "AnalysisInconclusive");
    world.decide(&name, Verb::Resume, "ann");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}

#[test]
fn one_resume_lets_on_what_could_not_tell_on_the_way_to_all_requests() {
    let more = json!({"analysis": {"metrics": [{"name": "errors", "interval": "5s", "success": "result < 0.1",
        "prometheus": {"address": "http://prometheus", "query": "up"}}]}});
    let (mut world, name) = unmeasured(json!({"rolling": {}}), more);
    world.cluster.lame.insert("web".to_owned());
    world.run(60);
    world.cluster.lame.clear();
    world.run(5);
    assert_eq!(reason(&world), "AnalysisInconclusive");
    world.decide(&name, Verb::Resume, "ann");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
}
