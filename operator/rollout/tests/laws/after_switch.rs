//! `spec.analysis` under blueGreen.

use dcanary_crds::{Doing, Verb, Verdict};
use serde_json::json;

use crate::{build::environment, world::World};

fn switching() -> World {
    let mut world = World::new(environment(
        json!({"blueGreen": {"scaleDownDelay": "30s"}}),
        json!({"analysis": {"metrics": [{"name": "errors", "interval": "5s", "minSamples": 3, "success": "result < 0.1",
            "prometheus": {"address": "http://prometheus", "query": "errors{release=\"$(release)\"}"}}]}}),
    ));
    world.promote("good1");
    world.run(30);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    world
}

#[test]
fn a_release_that_fails_after_the_switch_goes_back() {
    let mut world = switching();
    let name = world.promote("bad");
    world.run(90);
    assert_eq!(world.finished(&name), Some((false, "AnalysisFailed".to_owned())));
    assert_eq!(world.stable().as_deref(), Some("good1"));
    let stable = world.status().stable.unwrap().workload;
    assert_eq!(world.cluster.shares().get(&stable), Some(&100));
}

#[test]
fn a_good_release_is_promoted_once_enough_was_measured_after_the_switch() {
    let mut world = switching();
    let name = world.promote("good2");
    world.run_to(100);
    world.run(4);
    assert_eq!(world.doing(), Some(Doing::Verifying));
    assert_eq!(world.finished(&name), None);
    world.run(90);
    assert_eq!(world.finished(&name), Some((true, "Promoted".to_owned())));
    let analyses = world.status().rollout.unwrap().analyses;
    let analysis = &analyses[0];
    assert_eq!((analyses.len(), analysis.verdict), (1, Some(Verdict::Passed)));
    assert!(analysis.metrics[0].taken >= 3);
    assert!(world.evidence.contains(analysis.evidence.as_ref().unwrap()));
}

#[test]
fn a_source_that_is_away_after_the_switch_asks_a_person() {
    let mut world = switching();
    world.metric_away = true;
    let name = world.promote("good2");
    world.run(120);
    let rollout = world.status().rollout.unwrap();
    assert_eq!(
        (rollout.doing, rollout.reason.as_str()),
        (Doing::Verifying, "AnalysisInconclusive")
    );
    world.decide(&name, Verb::Resume, "ann");
    world.run(30);
    assert_eq!(world.finished(&name), Some((true, "Promoted".to_owned())));
}
