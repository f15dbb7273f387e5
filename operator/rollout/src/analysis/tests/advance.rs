use std::cell::Cell;

use dcanary_crds::{Duration, OnNoData, Verdict};
use serde_json::json;

use super::*;
use crate::{
    analysis::{BACKGROUND, SAMPLES, SAMPLES_BYTES, conclude, restart, shorten},
    plan::Source,
    seen::{Key, Kind, Refusal},
};

fn good(_: &MeasureKey) -> Answer {
    Answer::Value(json!(0.001))
}

fn bad(_: &MeasureKey) -> Answer {
    Answer::Value(json!(0.5))
}

#[test]
fn samples_are_asked_for_when_they_are_due_and_not_before() {
    let mut one = metric("errors");
    one.initial_delay = Some(Duration::from_secs(60));
    one.interval = Some(Duration::from_secs(20));
    one.count = Some(2);
    let mut world = World::new("step-1");
    let first = world.once(&[one.clone()]);
    assert_eq!(
        (first.effects.len(), first.wake),
        (0, Some(start() + seconds(60)))
    );
    world.run(&[one], 20, good);
    assert_eq!(world.status.verdict, Some(Verdict::Passed));
    let at: Vec<Timestamp> = world.status.metrics[0]
        .samples
        .iter()
        .filter_map(|s| s.at)
        .collect();
    assert_eq!(at, [start() + seconds(60), start() + seconds(80)]);
    assert_eq!(world.status.finished_at, Some(start() + seconds(80)));
    assert_eq!(world.status.message, "`errors` passed");
}

#[test]
fn a_bad_sample_fails_the_analysis_at_once_and_the_message_names_value_and_threshold() {
    let mut slow = metric("slow");
    slow.count = Some(100);
    let mut world = World::new("step-1");
    world.run(&[slow, metric("errors")], 50, |key| match key.metric.as_str() {
        "errors" => bad(key),
        _ => good(key),
    });
    assert_eq!(world.status.verdict, Some(Verdict::Failed));
    assert_eq!(world.now, start(), "nothing else was waited for");
    let message = &world.status.message;
    for part in [
        "`errors` failed",
        "result 0.5",
        "`result < 0.01`",
        "1 of 1",
        "0 forgiven",
    ] {
        assert!(message.contains(part), "{message}");
    }
    let after = world.once(&[metric("errors")]);
    assert_eq!(after, crate::analysis::Advance::default(), "a verdict stays");
}

#[test]
fn the_query_names_candidate_and_stable_release_and_both_make_one_sample() {
    let mut one = metric("errors");
    one.compare = true;
    one.success = Some("result <= baseline".to_owned());
    let mut world = World::new("step-1");
    world.run(&[one], 10, |key| {
        Answer::Value(json!(if key.baseline { 2 } else { 1 }))
    });
    let queries: Vec<&Source> = world.asked.iter().map(|measure| &measure.source).collect();
    let query = |release: &str| Source::Prometheus {
        address: "http://prometheus:9090".to_owned(),
        query: format!("errors{{release=\"{release}\"}}"),
    };
    assert_eq!(queries, [&query("web-1111111111"), &query("web-0000000000")]);
    let sample = &world.status.metrics[0].samples[0];
    assert_eq!(
        (sample.value.as_deref(), sample.baseline.as_deref()),
        (Some("1"), Some("2"))
    );
    assert_eq!(world.status.verdict, Some(Verdict::Passed));
}

#[test]
fn a_source_that_is_away_is_told_while_it_is_forgiven_and_then_makes_it_inconclusive() {
    let mut one = metric("errors");
    one.error_limit = Some(2);
    one.count = Some(100);
    let mut world = World::new("step-1");
    world.run(&[one.clone()], 2, |_| {
        Answer::Error("connection refused".to_owned())
    });
    assert!(
        world.status.message.contains("connection refused"),
        "{}",
        world.status.message
    );
    assert_eq!(world.status.verdict, None);
    world.run(&[one.clone()], 50, |_| {
        Answer::Error("connection refused".to_owned())
    });
    assert_eq!(world.status.verdict, Some(Verdict::Inconclusive));
    assert_eq!(world.status.metrics[0].taken, 3);
    // one answer between them begins the count anew
    let turn = Cell::new(0);
    let mut world = World::new("step-1");
    world.run(&[one], 1_000, |key| {
        turn.set(turn.get() + 1);
        if turn.get() % 3 == 0 {
            good(key)
        } else {
            Answer::Error("away".to_owned())
        }
    });
    assert_eq!(world.status.verdict, Some(Verdict::Passed));
}

#[test]
fn nothing_but_empty_answers_is_inconclusive_unless_they_are_said_to_be_good_or_bad() {
    for (on_no_data, wanted) in [
        (OnNoData::Inconclusive, Verdict::Inconclusive),
        (OnNoData::Success, Verdict::Passed),
        (OnNoData::Failure, Verdict::Failed),
    ] {
        let mut one = metric("errors");
        one.on_no_data = on_no_data;
        let mut world = World::new("step-1");
        world.run(&[one], 20, |_| Answer::NoData);
        assert_eq!(world.status.verdict, Some(wanted), "{on_no_data:?}");
    }
}

#[test]
fn the_background_analysis_passes_only_when_the_rollout_is_at_its_end() {
    let metrics = [metric("errors")];
    let mut world = World::new(BACKGROUND);
    world.run(&metrics, 700, good);
    let of = &world.status.metrics[0];
    assert_eq!((world.status.verdict, of.verdict), (None, None));
    assert!(of.taken > 300 && of.samples.len() == SAMPLES, "{}", of.taken);
    conclude(&mut world.status, &metrics, world.now);
    assert_eq!(world.status.verdict, Some(Verdict::Passed));

    let mut world = World::new(BACKGROUND);
    world.run(&metrics, 700, bad);
    assert_eq!(world.status.verdict, Some(Verdict::Failed));

    let mut needed = metric("errors");
    needed.min_samples = Some(2);
    let mut world = World::new(BACKGROUND);
    world.run(std::slice::from_ref(&needed), 2, good);
    conclude(&mut world.status, &[needed], world.now);
    assert_eq!(world.status.verdict, Some(Verdict::Inconclusive));
    assert!(
        world.status.message.contains("2 are needed"),
        "{}",
        world.status.message
    );
}

#[test]
fn a_metric_that_is_changed_meanwhile_begins_anew_and_takes_no_answer_of_before() {
    let mut one = metric("errors");
    one.count = Some(5);
    let mut world = World::new("step-1");
    world.run(&[one.clone()], 5, good);
    let before = world.status.metrics[0].clone();
    assert!(before.taken > 0);
    one.success = Some("result < 0.0001".to_owned());
    world.once(&[one.clone()]);
    let after = &world.status.metrics[0];
    assert_eq!((after.taken, after.samples.len()), (0, 0));
    assert!(
        after.next > before.next,
        "an answer that is on its way is of before"
    );
    world.run(&[one], 20, good);
    assert_eq!(world.status.verdict, Some(Verdict::Failed));
}

#[test]
fn an_analysis_that_is_begun_anew_uses_no_number_twice() {
    let metrics = [metric("errors")];
    let mut world = World::new("step-1");
    world.run(&metrics, 10, bad);
    assert_eq!(world.status.verdict, Some(Verdict::Failed));
    restart(&mut world.status, world.now);
    assert_eq!(world.status.verdict, None);
    world.run(&metrics, 10, good);
    assert_eq!(world.status.verdict, Some(Verdict::Passed));
    let numbers: std::collections::BTreeSet<i32> = world.asked.iter().map(|m| m.key.sample).collect();
    assert_eq!(numbers.len(), world.asked.len());
}

#[test]
fn what_is_kept_of_samples_is_bounded_by_number_and_by_size() {
    let mut long = metric("lists");
    long.success = Some("result.all(x, x < 1)".to_owned());
    let mut world = World::new(BACKGROUND);
    world.run(std::slice::from_ref(&long), 400, |_| {
        Answer::Value(vec![0.123_456_789; 70].into())
    });
    let of = &world.status.metrics[0];
    let bytes: usize = of
        .samples
        .iter()
        .filter_map(|sample| sample.value.as_ref())
        .map(String::len)
        .sum();
    assert!(bytes <= SAMPLES_BYTES && of.samples.len() < SAMPLES, "{bytes}");
    assert_eq!(of.taken, of.successful);
    let taken = of.taken;
    shorten(&mut world.status);
    assert_eq!(world.status.metrics[0].samples.len(), 10);
    assert_eq!(world.status.metrics[0].taken, taken);
}

#[test]
fn a_job_is_started_once_for_each_sample_and_its_end_is_the_sample() {
    let job =
        yaml("name: smoke\ncount: 2\nfailureLimit: 1\njob: {name: smoke, image: curl, steps: [{run: x}]}");
    let mut world = World::new("step-1");
    let written = |world: &mut World| match world.once(std::slice::from_ref(&job)).effects.as_slice() {
        [Effect::Write(write)] => write.key.clone(),
        other => panic!("{other:?}"),
    };
    let ended = |succeeded: &str| {
        let conditions = json!([
            {"type": "Finished", "status": "True"},
            {"type": "Succeeded", "status": succeeded, "message": "stage smoke failed"},
        ]);
        json!({"status": {"conditions": conditions}})
    };
    let first = written(&mut world);
    assert_eq!(first.kind, Kind::PipelineRun);
    world.seen.objects.insert(first.clone(), json!({"status": {}}));
    assert_eq!(world.once(std::slice::from_ref(&job)).effects, [], "it runs");
    world.seen.objects.insert(first.clone(), ended("False"));
    world.once(std::slice::from_ref(&job));
    assert_eq!(world.status.metrics[0].failed, 1);
    world.now = world.status.metrics[0].next_at.unwrap();
    let second = written(&mut world);
    assert_ne!(first, second);
    world.seen.objects.insert(second, ended("True"));
    world.once(std::slice::from_ref(&job));
    assert_eq!(world.status.verdict, Some(Verdict::Passed));
}

#[test]
fn a_job_that_may_not_be_started_is_a_sample_that_could_not_be_taken() {
    let job = yaml("name: smoke\nerrorLimit: 0\njob: {name: smoke, image: curl, steps: [{run: x}]}");
    let mut world = World::new("step-1");
    let [Effect::Write(write)] = &world.once(std::slice::from_ref(&job)).effects[..] else {
        panic!("no run");
    };
    let key: Key = write.key.clone();
    let refusal = Refusal {
        reason: "QuotaExceeded".to_owned(),
        message: "no room".to_owned(),
        retry_at: start(),
    };
    world.seen.refusals.insert(key, refusal);
    world.once(&[job]);
    assert_eq!(world.status.verdict, Some(Verdict::Inconclusive));
    assert!(
        world.status.message.contains("QuotaExceeded: no room"),
        "{}",
        world.status.message
    );
}

#[test]
fn where_no_metric_decides_all_are_measured_before_it_passes() {
    let mut dry = metric("errors");
    dry.dry_run = true;
    let mut world = World::new("step-1");
    let first = world.once(std::slice::from_ref(&dry));
    assert_eq!((first.effects.len(), world.status.verdict), (1, None));
    world.run(&[dry], 10, bad);
    assert_eq!(world.status.metrics[0].verdict, Some(Verdict::Failed));
    assert_eq!(world.status.verdict, Some(Verdict::Passed));
}
