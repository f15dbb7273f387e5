//! A status always fits into one object.

use dcanary_crds::{AnalysisStatus, MetricStatus, Sample, Verb};
use serde_json::json;

use crate::{
    build::{self, canary, environment},
    world::World,
};

#[test]
fn of_many_promotions_that_wait_the_newest_comes_and_the_others_end_few_at_a_time() {
    let mut world = World::new(environment(canary(json!([{"weight": 50}])), json!({})));
    for number in 0..70 {
        let name = format!("many{number:03}");
        let at = world.now;
        world.promotions.push(build::promotion(&name, "good1", at, false));
    }
    let newest = world.promote("good2");
    for _ in 0..10 {
        world.decide_once(usize::MAX);
        assert!(world.status().ended.len() <= 50);
    }
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert_eq!(world.finished(&newest), Some((true, "Promoted".to_owned())));
    assert_eq!(world.finished("many000"), Some((false, "Superseded".to_owned())));
}

fn measured(name: &str) -> AnalysisStatus {
    let sample = Sample {
        value: Some("9".repeat(1000)),
        ..Sample::default()
    };
    let metric = MetricStatus {
        taken: 16,
        samples: vec![sample; 16],
        ..MetricStatus::default()
    };
    AnalysisStatus {
        name: name.to_owned(),
        metrics: vec![metric; 20],
        ..AnalysisStatus::default()
    }
}

#[test]
fn samples_are_given_up_before_the_status_is_too_large_and_stay_counted() {
    let steps = json!([{"weight": 50}, {"pause": {}}]);
    let mut world = World::new(environment(canary(steps), json!({})));
    world.promote("good1");
    world.run(60);
    world.promote("good2");
    world.run_to(50);
    let rollout = world.env.status.as_mut().unwrap().rollout.as_mut().unwrap();
    rollout.analyses = (0..4).map(|number| measured(&format!("step-{number}"))).collect();
    let stored = format!("sha256:{}", "1".repeat(64));
    rollout.analyses[0].evidence = Some(stored.clone());
    world.evidence.insert(stored);
    world.decide_once(usize::MAX);
    let status = world.status();
    assert!(serde_json::to_vec(&status).unwrap().len() <= 512 * 1024);
    let analyses = status.rollout.unwrap().analyses;
    assert_eq!(analyses[0].metrics[0].samples.len(), 10, "a document holds them");
    for metric in analyses.iter().flat_map(|of| &of.metrics) {
        assert_eq!(metric.taken, 16);
        assert!(!metric.samples.is_empty());
    }
}

#[test]
fn a_decision_about_a_promotion_is_forgotten_when_another_has_its_place() {
    let steps = json!([{"weight": 50}, {"pause": {}}]);
    let mut world = World::new(environment(canary(steps), json!({})));
    world.promote("good1");
    world.run(60);
    let name = world.promote("good2");
    world.run_to(50);
    world.decide(&name, Verb::Abort, "ann");
    world.run(60);
    assert_eq!(world.status().decided.len(), 1);
    world.promote("good3");
    world.run_to(50);
    assert_eq!(world.status().decided, Vec::<String>::new());
    world.run(5);
    assert_eq!(world.status().decided, Vec::<String>::new());
}
