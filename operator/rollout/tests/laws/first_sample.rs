//! `spec.analysis` promotes nothing of which no sample said that it is good.

use dcanary_crds::{ConditionStatus, ConditionType, Doing, Rollout, RolloutOutcome, Verb, Verdict};
use serde_json::{Value, json};

use crate::{
    build::{canary, environment},
    world::World,
};

/// With a first release, and one metric that says this besides.
fn measured(strategy: Value, more: Value) -> World {
    let mut metric = json!({"name": "errors", "success": "result < 0.1",
        "prometheus": {"address": "http://prometheus", "query": "errors{release=\"$(release)\"}"}});
    for (field, value) in more.as_object().unwrap() {
        metric[field] = value.clone();
    }
    let mut world = World::new(environment(
        strategy,
        json!({"progressDeadline": "60s", "analysis": {"metrics": [metric]}}),
    ));
    world.promote("good1");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    world
}

fn short_steps() -> Value {
    canary(json!([{"weight": 20}, {"pause": {"duration": "10s"}}]))
}

fn strategies() -> [Value; 3] {
    [short_steps(), canary(json!([])), json!({"rolling": {}})]
}

fn rollout(world: &World) -> Rollout {
    world.status().rollout.unwrap()
}

#[test]
fn a_source_that_is_away_never_promotes_and_never_rolls_back_and_asks_a_person_at_its_limit() {
    for strategy in strategies() {
        let mut world = measured(strategy.clone(), json!({"interval": "12s"}));
        world.metric_away = true;
        let name = world.promote("good2");
        world.run(35);
        let waits = rollout(&world);
        assert_eq!(waits.reason, "Analysis", "{strategy}: {}", waits.message);
        assert!(
            waits.message.contains("waits for a first sample of `errors`")
                && waits.message.contains("connection refused"),
            "{}",
            waits.message
        );
        world.run(120);
        assert_eq!(rollout(&world).reason, "AnalysisInconclusive", "{strategy}");
        assert_eq!(world.stable().as_deref(), Some("good1"), "{strategy}");
        world.decide(&name, Verb::Resume, "ann");
        world.run(120);
        assert_eq!(
            world.finished(&name),
            Some((true, "Promoted".to_owned())),
            "{strategy}"
        );
        let analysis = rollout(&world).analyses.remove(0);
        assert_ne!(
            analysis.verdict,
            Some(Verdict::Passed),
            "{strategy}: {}",
            analysis.message
        );
    }
}

#[test]
fn limits_that_forgive_everything_end_at_the_deadline_with_a_question() {
    for strategy in strategies() {
        let mut world = measured(strategy.clone(), json!({"interval": "1s", "errorLimit": 1000}));
        world.metric_away = true;
        world.promote("good2");
        world.run(120);
        let asks = rollout(&world);
        assert_eq!(asks.reason, "AnalysisInconclusive", "{strategy}");
        assert!(asks.message.contains("samples was good"), "{}", asks.message);
        world.run(90);
        assert_eq!(world.stable().as_deref(), Some("good1"));
        assert_eq!(rollout(&world).finished_at, None, "it does not go back either");
        let conditions = world.status().conditions;
        let paused = conditions.iter().find(|one| one.kind == ConditionType::Paused);
        assert_eq!(paused.map(|one| one.status), Some(ConditionStatus::True));
    }
}

#[test]
fn a_source_that_comes_back_promotes_without_a_person() {
    for strategy in strategies() {
        let mut world = measured(strategy.clone(), json!({}));
        world.metric_away = true;
        let name = world.promote("good2");
        world.run(25);
        world.metric_away = false;
        world.run(120);
        assert_eq!(
            world.finished(&name),
            Some((true, "Promoted".to_owned())),
            "{strategy}"
        );
        assert_eq!(rollout(&world).analyses[0].verdict, Some(Verdict::Passed));
    }
}

#[test]
fn a_bad_release_goes_back_also_where_no_step_has_it_measured() {
    for strategy in strategies() {
        let mut world = measured(strategy.clone(), json!({}));
        let name = world.promote("bad");
        world.run(120);
        assert_eq!(
            world.finished(&name),
            Some((false, "AnalysisFailed".to_owned())),
            "{strategy}"
        );
        assert_eq!(world.outcome(), Some(RolloutOutcome::RolledBack));
        assert_eq!(world.stable().as_deref(), Some("good1"));
    }
}

#[test]
fn the_first_sample_is_waited_for_with_the_requests_of_the_last_step_and_a_newer_release_takes_its_place() {
    let mut world = measured(short_steps(), json!({}));
    world.metric_away = true;
    world.promote("good2");
    world.run(30);
    assert_eq!(
        (world.doing(), rollout(&world).weight),
        (Some(Doing::Stepping), 20)
    );
    world.metric_away = false;
    let newer = world.promote("good3");
    world.run(120);
    assert_eq!(world.finished(&newer), Some((true, "Promoted".to_owned())));
}

#[test]
fn a_dry_run_is_not_waited_for() {
    for strategy in strategies() {
        let mut world = measured(strategy, json!({"dryRun": true}));
        world.metric_away = true;
        let name = world.promote("good2");
        world.run(60);
        assert_eq!(world.finished(&name), Some((true, "Promoted".to_owned())));
    }
}

#[test]
fn a_metric_that_begins_later_than_the_deadline_is_waited_for_as_long_after_that() {
    let mut world = measured(canary(json!([])), json!({"initialDelay": "90s"}));
    let name = world.promote("good2");
    world.run(85);
    assert_eq!(rollout(&world).reason, "Analysis");
    world.run(60);
    assert_eq!(world.finished(&name), Some((true, "Promoted".to_owned())));
}
