use dcanary_crds::{AnalysisStatus, OnNoData, SampleVerdict, Verdict};
use proptest::prelude::*;

use super::*;
use crate::analysis::{Counts, Part, Rules, whole};

type Samples = Vec<(SampleVerdict, bool)>;

/// What the table in verdict.rs says, sample by sample, without counters.
fn oracle(rules: &Rules, samples: &Samples) -> Option<Verdict> {
    for end in 0..=samples.len() {
        let taken = &samples[..end];
        let number = |of: SampleVerdict| taken.iter().filter(|(verdict, _)| *verdict == of).count();
        let row = |of: SampleVerdict| {
            taken
                .iter()
                .rev()
                .take_while(|(verdict, _)| *verdict == of)
                .count()
        };
        let data =
            taken.iter().filter(|(_, data)| *data).count() >= usize::try_from(rules.min_samples).unwrap();
        let above = |number: usize, limit: i32| number > usize::try_from(limit).unwrap();
        let reached =
            |number: usize, of: Option<i32>| of.is_some_and(|of| number >= usize::try_from(of).unwrap());
        if above(number(SampleVerdict::Failure), rules.failure_limit) {
            return Some(Verdict::Failed);
        }
        if above(number(SampleVerdict::Inconclusive), rules.inconclusive_limit)
            || above(row(SampleVerdict::Error), rules.error_limit)
        {
            return Some(Verdict::Inconclusive);
        }
        if reached(row(SampleVerdict::Success), rules.consecutive_success) && data {
            return Some(Verdict::Passed);
        }
        if reached(taken.len(), rules.count) {
            let passed = data && number(SampleVerdict::Success) > 0;
            return Some(if passed {
                Verdict::Passed
            } else {
                Verdict::Inconclusive
            });
        }
    }
    None
}

fn counted(rules: &Rules, samples: &Samples) -> Option<Verdict> {
    let mut counts = Counts::default();
    for (verdict, data) in samples {
        if let Some(found) = rules.verdict(&counts) {
            return Some(found);
        }
        counts = counts.and(*verdict, *data);
    }
    rules.verdict(&counts)
}

fn samples(most: usize) -> impl Strategy<Value = Samples> {
    let one = prop_oneof![
        4 => Just(SampleVerdict::Success),
        1 => Just(SampleVerdict::Failure),
        1 => Just(SampleVerdict::Inconclusive),
        1 => Just(SampleVerdict::Error),
    ];
    let data =
        (one, any::<bool>()).prop_map(|(verdict, data)| (verdict, data && verdict != SampleVerdict::Error));
    prop::collection::vec(data, 0..most)
}

fn rules() -> impl Strategy<Value = Rules> {
    let limits = (0..4_i32, 0..4_i32, 0..4_i32);
    (
        prop::option::of(1..20_i32),
        limits,
        prop::option::of(1..6_i32),
        0..6_i32,
    )
        .prop_map(
            |(count, (failure_limit, inconclusive_limit, error_limit), consecutive_success, min_samples)| {
                Rules {
                    count,
                    failure_limit,
                    inconclusive_limit,
                    error_limit,
                    consecutive_success,
                    min_samples,
                    good_needed: false,
                }
            },
        )
}

fn verdicts() -> impl Strategy<Value = Option<Verdict>> {
    prop_oneof![
        Just(None),
        Just(Some(Verdict::Passed)),
        Just(Some(Verdict::Failed)),
        Just(Some(Verdict::Inconclusive)),
    ]
}

proptest! {
    #[test]
    fn a_metric_says_what_the_table_says_for_its_samples_in_their_order(rules in rules(), samples in samples(40)) {
        prop_assert_eq!(counted(&rules, &samples), oracle(&rules, &samples));
    }

    #[test]
    fn a_failure_limit_of_n_is_exceeded_by_exactly_n_and_one_bad_samples(limit in 0..10_i32, good in 0..10_usize) {
        let rules = Rules::of(&Metric { failure_limit: Some(limit), count: Some(100), ..Metric::default() }, false);
        let mut taken: Samples = vec![(SampleVerdict::Success, true); good];
        let bad = (SampleVerdict::Failure, true);
        taken.extend(vec![bad; usize::try_from(limit).unwrap()]);
        prop_assert_eq!(counted(&rules, &taken), None);
        taken.push(bad);
        prop_assert_eq!(counted(&rules, &taken), Some(Verdict::Failed));
    }

    #[test]
    fn a_dry_run_never_decides(
        deciding in prop::collection::vec(verdicts(), 1..5),
        dry in prop::collection::vec(verdicts(), 0..5),
        endless in any::<bool>(),
    ) {
        let part = |dry_run| move |verdict: &Option<Verdict>| Part { dry_run, verdict: *verdict };
        let alone: Vec<Part> = deciding.iter().map(part(false)).collect();
        let mut all: Vec<Part> = dry.iter().map(part(true)).collect();
        prop_assert!(matches!(whole(&all, endless), None | Some(Verdict::Passed)));
        all.extend(&alone);
        prop_assert_eq!(whole(&all, endless), whole(&alone, endless));
    }

    #[test]
    fn the_whole_is_as_bad_as_the_worst_and_passed_only_when_all_have(parts in prop::collection::vec(verdicts(), 1..6)) {
        let all: Vec<Part> = parts.iter().map(|verdict| Part { dry_run: false, verdict: *verdict }).collect();
        let any = |verdict| parts.contains(&Some(verdict));
        let wanted = if any(Verdict::Failed) {
            Some(Verdict::Failed)
        } else if any(Verdict::Inconclusive) {
            Some(Verdict::Inconclusive)
        } else {
            (!parts.contains(&None)).then_some(Verdict::Passed)
        };
        prop_assert_eq!(whole(&all, false), wanted);
        prop_assert_eq!(whole(&all, true), wanted.filter(|verdict| *verdict != Verdict::Passed));
    }
}

#[test]
fn a_metric_of_the_whole_rollout_is_watched_until_its_end_unless_it_says_how_often() {
    let watched = Metric {
        consecutive_success: Some(2),
        ..Metric::default()
    };
    let rules = Rules::of(&watched, true);
    assert_eq!((rules.count, rules.consecutive_success), (None, None));
    let good = vec![(SampleVerdict::Success, true); 300];
    assert_eq!(counted(&rules, &good), None);
    let counted_out = Metric {
        count: Some(3),
        ..watched
    };
    assert_eq!(
        counted(&Rules::of(&counted_out, true), &good),
        Some(Verdict::Passed)
    );
}

#[test]
fn without_a_count_as_many_samples_are_taken_as_a_pass_needs() {
    let of = |min_samples, consecutive_success| {
        let metric = Metric {
            min_samples,
            consecutive_success,
            ..Metric::default()
        };
        Rules::of(&metric, false).count
    };
    assert_eq!(of(None, None), Some(1));
    assert_eq!(of(Some(4), None), Some(4));
    assert_eq!(of(Some(4), Some(6)), Some(6));
}

#[test]
fn no_data_passes_only_where_no_data_is_good() {
    let empty = vec![(SampleVerdict::Success, false)];
    let with = |on_no_data, min_samples| {
        let metric = Metric {
            on_no_data,
            min_samples,
            ..Metric::default()
        };
        counted(&Rules::of(&metric, false), &empty)
    };
    assert_eq!(with(OnNoData::Success, None), Some(Verdict::Passed));
    assert_eq!(with(OnNoData::Success, Some(1)), Some(Verdict::Inconclusive));
    let none = vec![(SampleVerdict::Inconclusive, false)];
    assert_eq!(
        counted(&Rules::of(&Metric::default(), false), &none),
        Some(Verdict::Inconclusive)
    );
}

/// A verdict at the end of the whole rollout, after these answers of a metric.
fn at_the_end(metric: &Metric, answer: &Answer, rounds: usize) -> AnalysisStatus {
    let mut world = World::new(crate::analysis::BACKGROUND);
    let metrics = [metric.clone()];
    world.run(&metrics, rounds, |_| answer.clone());
    crate::analysis::conclude(&mut world.status, &metrics, world.now);
    let (_, document) = crate::analysis::evidence(&world.status, &metrics, &vars());
    let replayed = crate::analysis::replay(&document).unwrap();
    assert!(replayed.agrees(), "{:?}", replayed.differences);
    world.status
}

#[test]
fn the_end_of_a_rollout_passes_only_what_has_a_good_sample_or_what_counts_as_one() {
    let silent = |on_no_data| Metric {
        on_no_data,
        ..metric("errors")
    };
    let away = Answer::Error("connection refused".to_owned());
    let good = Answer::Value(0.0.into());
    for (metric, answer, rounds, wanted) in [
        (silent(OnNoData::Inconclusive), &good, 3, Verdict::Passed),
        (silent(OnNoData::Inconclusive), &good, 0, Verdict::Inconclusive),
        (silent(OnNoData::Inconclusive), &away, 3, Verdict::Inconclusive),
        (
            silent(OnNoData::Inconclusive),
            &Answer::NoData,
            3,
            Verdict::Inconclusive,
        ),
        (silent(OnNoData::Success), &Answer::NoData, 3, Verdict::Passed),
        (
            silent(OnNoData::Success),
            &Answer::NoData,
            0,
            Verdict::Inconclusive,
        ),
        (silent(OnNoData::Success), &away, 3, Verdict::Inconclusive),
    ] {
        let status = at_the_end(&metric, answer, rounds);
        assert_eq!(
            status.verdict,
            Some(wanted),
            "{answer:?} {rounds}: {}",
            status.message
        );
        assert!(status.message.contains("`errors`"), "{}", status.message);
    }
}

#[test]
fn a_document_from_before_a_good_sample_was_needed_says_what_it_said_then() {
    let mut world = World::new(crate::analysis::BACKGROUND);
    let metrics = [metric("errors")];
    world.run(&metrics, 3, |_| Answer::NoData);
    world.status.verdict = Some(Verdict::Passed);
    let (_, document) = crate::analysis::evidence(&world.status, &metrics, &vars());
    assert!(!crate::analysis::replay(&document).unwrap().agrees());
    let before = document.replace("\"goodNeeded\":true,", "");
    assert_ne!(before, document);
    assert!(crate::analysis::replay(&before).unwrap().agrees());
}
