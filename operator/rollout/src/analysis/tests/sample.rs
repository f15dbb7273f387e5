use dcanary_crds::{OnNoData, Sample, SampleVerdict};
use serde_json::{Value, json};

use super::*;
use crate::analysis::{Judge, VALUE_BYTES};

fn judged(text: &str, result: Answer, baseline: Option<Answer>) -> Sample {
    let metric = yaml(&format!(
        "name: m\nprometheus: {{address: http://p, query: x}}\n{text}"
    ));
    let judge = Judge::of(&metric).unwrap();
    let sample = judge.sample(start(), &result, baseline.as_ref());
    let (again, _) = judge.judge(&sample);
    assert_eq!(
        again, sample.verdict,
        "the kept sample is judged as the answer was"
    );
    sample
}

fn verdict(text: &str, result: &Value) -> SampleVerdict {
    judged(text, Answer::Value(result.clone()), None).verdict
}

#[test]
fn with_one_condition_a_sample_is_good_or_bad_and_with_both_it_can_be_neither() {
    use SampleVerdict::{Failure, Inconclusive, Success};
    let both = "success: result < 1\nfailure: result > 5";
    for (text, value, wanted) in [
        ("success: result < 1", json!(0), Success),
        ("success: result < 1", json!(1), Failure),
        ("failure: result > 5", json!(6), Failure),
        ("failure: result > 5", json!(5), Success),
        (both, json!(0.5), Success),
        (both, json!(3), Inconclusive),
        (both, json!(5.5), Failure),
        // what is both is bad
        ("success: result > 0\nfailure: result > 0", json!(1), Failure),
        ("", json!(true), Success),
        ("", json!(false), Failure),
        ("success: result.all(x, x < 1)", json!([0.1, 0.2]), Success),
    ] {
        assert_eq!(verdict(text, &value), wanted, "{text} over {value}");
    }
}

#[test]
fn an_empty_answer_counts_as_on_no_data_says() {
    for (said, wanted) in [
        (OnNoData::Inconclusive, SampleVerdict::Inconclusive),
        (OnNoData::Success, SampleVerdict::Success),
        (OnNoData::Failure, SampleVerdict::Failure),
    ] {
        let word = serde_json::to_value(said).unwrap();
        let text = format!("success: result < 1\nonNoData: {}", word.as_str().unwrap());
        assert_eq!(judged(&text, Answer::NoData, None).verdict, wanted);
        // a baseline without data compares with nothing
        let compare = format!("{text}\ncompare: true");
        let one = Answer::Value(json!(0));
        assert_eq!(
            judged(&compare, one.clone(), Some(Answer::NoData)).verdict,
            wanted
        );
        assert_eq!(judged(&compare, Answer::NoData, Some(one)).verdict, wanted);
    }
}

#[test]
fn what_cannot_be_asked_or_judged_is_an_error_that_says_why() {
    let away = judged(
        "success: result < 1",
        Answer::Error("connection refused".to_owned()),
        None,
    );
    assert_eq!(away.error.as_deref(), Some("connection refused"));
    let compare = "success: result < baseline\ncompare: true";
    let half = judged(
        compare,
        Answer::Value(json!(1)),
        Some(Answer::Error("away".to_owned())),
    );
    assert_eq!(half.error.as_deref(), Some("baseline: away"));
    let text = judged("success: result < 1", Answer::Value(json!("x")), None);
    assert!(
        text.error.as_ref().unwrap().contains("success `result < 1`"),
        "{text:?}"
    );
    let number = judged("", Answer::Value(json!(3)), None);
    assert!(
        number.error.as_ref().unwrap().contains("give success or failure"),
        "{number:?}"
    );
    let long = judged(
        "success: true",
        Answer::Value(vec![0.5; VALUE_BYTES].into()),
        None,
    );
    assert!(
        long.value.is_none() && long.error.as_ref().unwrap().contains("aggregate"),
        "{long:?}"
    );
    for sample in [away, half, text, number, long] {
        assert_eq!(sample.verdict, SampleVerdict::Error);
    }
}

#[test]
fn the_baseline_is_compared_with() {
    let one = |result: f64, baseline: f64| {
        let (result, baseline) = (Answer::Value(json!(result)), Answer::Value(json!(baseline)));
        judged(
            "success: result <= 1.5 * baseline\ncompare: true",
            result,
            Some(baseline),
        )
        .verdict
    };
    assert_eq!(one(3.0, 2.0), SampleVerdict::Success);
    assert_eq!(one(3.1, 2.0), SampleVerdict::Failure);
}
