use dcanary_crds::{Duration, OnNoData, SecretKey, Verdict};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::analysis::{BACKGROUND, FORMAT, conclude, evidence, replay};

/// Answers by number of the sample, over and over.
fn answers() -> impl Strategy<Value = Vec<Answer>> {
    let one = prop_oneof![
        4 => (0.0..0.02_f64).prop_map(|number| Answer::Value(json!(number))),
        1 => Just(Answer::Value(json!(0))),
        1 => Just(Answer::Value(json!([0.001, 0.2]))),
        1 => Just(Answer::NoData),
        1 => Just(Answer::Error("away".to_owned())),
    ];
    prop::collection::vec(one, 1..12)
}

fn some_metric(name: &'static str) -> impl Strategy<Value = Metric> {
    let conditions = prop_oneof![
        Just((Some("result < 0.01"), None)),
        Just((None, Some("result >= 0.015"))),
        Just((Some("result < 0.01"), Some("result > 0.018"))),
    ];
    let no_data = prop_oneof![
        Just(OnNoData::Inconclusive),
        Just(OnNoData::Success),
        Just(OnNoData::Failure)
    ];
    let limits = (
        prop::option::of(0..3_i32),
        prop::option::of(0..3_i32),
        prop::option::of(0..3_i32),
    );
    let counts = (
        prop::option::of(1..12_i32),
        prop::option::of(1..4_i32),
        prop::option::of(1..4_i32),
    );
    (conditions, no_data, limits, counts, any::<bool>(), any::<bool>()).prop_map(
        move |((success, failure), on_no_data, limits, counts, compare, dry_run)| Metric {
            success: success.map(str::to_owned),
            failure: failure.map(str::to_owned),
            on_no_data,
            failure_limit: limits.0,
            inconclusive_limit: limits.1,
            error_limit: limits.2,
            count: counts.0,
            min_samples: counts.1,
            consecutive_success: counts.2,
            compare,
            dry_run,
            ..metric(name)
        },
    )
}

fn measured(name: &str, metrics: &[Metric], answers: &[Answer], rounds: usize) -> World {
    let mut world = World::new(name);
    world.run(metrics, rounds, |key| {
        let at = usize::try_from(key.sample).unwrap() + usize::from(key.baseline) + key.metric.len();
        answers[at % answers.len()].clone()
    });
    world
}

proptest! {
    #[test]
    fn the_verdict_follows_from_the_evidence_alone_at_any_time(
        one in some_metric("one"),
        two in some_metric("second"),
        answers in answers(),
        rounds in 1..60_usize,
        name in prop_oneof![Just("step-1"), Just(BACKGROUND)],
        ended in any::<bool>(),
    ) {
        let metrics = [one, two];
        let mut world = measured(name, &metrics, &answers, rounds);
        if ended && name == BACKGROUND {
            conclude(&mut world.status, &metrics, world.now);
        }
        let (digest, document) = evidence(&world.status, &metrics, &vars());
        let replayed = replay(&document).unwrap();
        prop_assert_eq!(&replayed.differences, &[]);
        prop_assert_eq!(replayed.verdict, world.status.verdict);
        prop_assert_eq!(replayed.digest, digest.clone());
        prop_assert_eq!(evidence(&world.status, &metrics, &vars()), (digest, document));
    }

}

proptest! {
    // each case takes some hundred samples
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn it_follows_as_well_when_old_samples_are_only_counted(answers in answers(), one in some_metric("one")) {
        let mut watched = Metric { count: None, failure_limit: Some(1_000), inconclusive_limit: Some(1_000), ..one };
        watched.error_limit = Some(250);
        let metrics = [watched];
        let world = measured(BACKGROUND, &metrics, &answers, 640);
        let (_, document) = evidence(&world.status, &metrics, &vars());
        let replayed = replay(&document).unwrap();
        prop_assert_eq!(&replayed.differences, &[]);
        prop_assert_eq!(replayed.verdict, world.status.verdict);
        let counts = replayed.metrics[0].counts;
        prop_assert_eq!(counts.taken, world.status.metrics[0].taken);
        prop_assert_eq!(counts.failed, world.status.metrics[0].failed);
    }
}

proptest! {

    #[test]
    fn no_text_makes_replaying_panic(text in ".{0,200}") {
        let _ = replay(&text);
        let _ = replay(&format!("{{\"format\":\"{FORMAT}\",\"metrics\":{text}}}"));
    }
}

fn example() -> (World, Vec<Metric>) {
    let mut one = metric("errors");
    one.count = Some(3);
    one.failure_limit = Some(0);
    one.interval = Some(Duration::from_secs(10));
    one.prometheus.as_mut().unwrap().token = Some(SecretKey {
        name: "prometheus-token".to_owned(),
        key: "token".to_owned(),
        optional: false,
    });
    let metrics = vec![one];
    let world = measured(
        "step-1",
        &metrics,
        &[Answer::Value(json!(0.001)), Answer::Value(json!(0.02))],
        40,
    );
    (world, metrics)
}

#[test]
fn a_document_that_claims_what_does_not_follow_is_told_where() {
    let (world, metrics) = example();
    assert_eq!(world.status.verdict, Some(Verdict::Failed));
    let (_, document) = evidence(&world.status, &metrics, &vars());
    let forged = |path: &str, value: Value| {
        let mut read: Value = serde_json::from_str(&document).unwrap();
        *read.pointer_mut(path).unwrap() = value;
        let replayed = replay(&read.to_string()).unwrap();
        assert!(!replayed.agrees(), "{path}");
        replayed.differences
    };
    let place = |differences: &[crate::analysis::Difference], place: &str| {
        assert!(
            differences.iter().any(|one| one.place == place),
            "{differences:?}"
        );
    };
    place(&forged("/verdict", json!("Passed")), "verdict");
    place(
        &forged("/metrics/0/verdict", json!("Passed")),
        "metrics[0] (errors).verdict",
    );
    let value = forged("/metrics/0/samples/1/value", json!("0.00001"));
    place(&value, "metrics[0] (errors).samples[1].verdict");
    place(&value, "verdict");
    place(&forged("/metrics/0/rules/failureLimit", json!(5)), "verdict");
    place(&forged("/metrics/0/success", json!("result < 1")), "verdict");
}

#[test]
fn a_document_that_is_no_evidence_is_refused_with_what_is_wrong() {
    let (world, metrics) = example();
    let (_, document) = evidence(&world.status, &metrics, &vars());
    for (text, said) in [
        (String::new(), "no evidence"),
        ("{}".to_owned(), "format"),
        (
            document.replace(FORMAT, "dcanary-evidence/2"),
            "dcanary-evidence/2",
        ),
        (document.replace("\"endless\":false,", ""), "endless"),
        (
            document.replace("\"endless\":false", "\"endless\":false,\"more\":1"),
            "more",
        ),
        (
            document.replace("\"endless\":false", "\"endless\":false,\"endless\":true"),
            "endless",
        ),
        (document.replace("result < 0.01", "result <"), "errors"),
    ] {
        let error = replay(&text).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

#[test]
fn the_document_is_canonical_and_holds_query_thresholds_and_samples_but_no_token() {
    let (world, mut metrics) = example();
    metrics[0].prometheus.as_mut().unwrap().address = "http://me:secret@prometheus:9090".to_owned();
    let (digest, document) = evidence(&world.status, &metrics, &vars());
    assert!(digest.starts_with("sha256:") && digest.len() == 71);
    for part in [
        "errors{release=\\\"web-1111111111\\\"}",
        "\"success\":\"result < 0.01\"",
        "\"failureLimit\":0",
        "\"value\":\"0.02\"",
        "\"interval\":10",
        "\"address\":\"http://prometheus:9090\"",
    ] {
        assert!(document.contains(part), "{part}: {document}");
    }
    for part in ["token", "secret", ", \"", "\": "] {
        assert!(!document.contains(part), "{part}: {document}");
    }
    let read: Value = serde_json::from_str(&document).unwrap();
    let names: Vec<&String> = read.as_object().unwrap().keys().collect();
    assert!(names.is_sorted(), "{names:?}");
}
