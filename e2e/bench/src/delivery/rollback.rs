//! Canaries that go back by their analysis: the time from a failing sample until the candidate has answered its last request.

use anyhow::{Context, Result, ensure};
use dcanary_harness::{
    Namespace, data_plane,
    example_app::error_share,
    load::{Load, Shape},
};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    all_on,
    part::{Part, say},
    prepared,
};
use crate::{
    report::{Row, grouped},
    stats::{median, range},
};

/// Seconds between two samples, as [`error_share`] has it.
const INTERVAL: f64 = 1.0;
/// Seconds that it may take.
const AIM: f64 = INTERVAL + 2.0;
/// Percent of the requests that a candidate has.
const WEIGHT: i64 = 50;
/// An image that fails, which is its version too.
const BAD: &str = "2-errors";
const WHAT: &str = "back on stable after a failing sample";

/// One canary that went back.
#[derive(Debug, Clone, Copy)]
struct Back {
    /// Seconds from the sample that gave the verdict until the last answer of the candidate.
    verdict: f64,
    /// The same from the first bad sample.
    first: f64,
    requests: u32,
    lost: u32,
}

/// What was measured.
#[derive(Debug, Clone, Default)]
pub struct Found(Vec<Back>);

/// Canaries of a release that fails, each in an Environment of its own: what went back once is held.
///
/// # Errors
/// When one does not go back, or for another reason; what was measured before is in `found`.
pub async fn measure(ns: &Namespace, found: &mut Found, repetitions: u32) -> Result<()> {
    prepared(ns).await?;
    data_plane::prometheus().await?;
    for number in 1..=repetitions {
        let back = one(ns, &format!("web-{number}"))
            .await
            .with_context(|| format!("rollback {number}"))?;
        say(format!(
            "rollback {number} of {repetitions}: {:.2} s after the verdict's sample, {:.2} s after the first bad one, {} of {} requests lost",
            back.verdict, back.first, back.lost, back.requests
        ));
        found.0.push(back);
    }
    Ok(())
}

async fn one(ns: &Namespace, name: &str) -> Result<Back> {
    let strategy = json!({"canary": {"steps": [{"weight": WEIGHT}, {"pause": {}}], "scaleDownDelay": "3s"}});
    let mut environment = ns.environment(name, &strategy);
    environment["spec"]["analysis"] = analysis();
    environment["spec"]["deletionPolicy"] = json!("Delete");
    ns.apply(&environment.to_string()).await?;
    ns.deployed(name, "good", "1").await?;
    let load = Load::start(&ns.through_gateway(name).await?, Shape::default()).await?;
    all_on(&load, "1").await?;
    ns.release("bad", BAD).await?;
    let promotion = ns.promote("bad", name).await?;
    let ended = ns.promotion_ended(&promotion).await?;
    ensure!(
        ended.state("Succeeded") == ("False", "AnalysisFailed"),
        "it ended otherwise: {}",
        ended.says("Succeeded")
    );
    all_on(&load, "1").await?;
    let tally = load.stop().await;
    let last = tally.last(BAD).context("the candidate answered no request")?;
    let samples = failing(ended.status());
    let (first, verdict) = samples.with_context(|| format!("no failing sample in {}", ended.status()))?;
    // the next one begins on a quiet machine
    ns.environment_gone(name).await?;
    Ok(Back {
        verdict: seconds(verdict, last),
        first: seconds(first, last),
        requests: tally.requests(),
        lost: tally.lost,
    })
}

/// The error share, watched for as long as the rollout takes.
fn analysis() -> Value {
    let mut analysis = error_share();
    if let Some(metric) = analysis["metrics"][0].as_object_mut() {
        metric.remove("count");
    }
    analysis
}

/// When the first failing sample of the analysis that failed was taken, and the one that gave the verdict: the last, as a verdict ends it.
fn failing(status: &Value) -> Option<(Timestamp, Timestamp)> {
    let failed = |list: &'_ Value| -> Option<Value> {
        let mut all = list.as_array()?.iter();
        all.find(|one| one["verdict"] == "Failed").cloned()
    };
    let metric = failed(&failed(&status["analyses"])?["metrics"])?;
    let mut bad = metric["samples"]
        .as_array()?
        .iter()
        .filter(|sample| sample["verdict"] == "Failure")
        .filter_map(|sample| sample["at"].as_str()?.parse().ok());
    let first = bad.next()?;
    Some((first, bad.next_back().unwrap_or(first)))
}

fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

/// The row.
pub fn row(part: &Part<Found>) -> Row {
    let aim = format!("≤ {AIM} s: one interval of {INTERVAL} s and 2 s");
    let Found(all) = &part.found;
    let problem = part.problem.as_deref();
    let of = |seconds: fn(&Back) -> f64| -> Option<(f64, f64)> {
        let all: Vec<f64> = all.iter().map(seconds).collect();
        Some((median(&all)?, range(&all)?.1))
    };
    let (Some((middle, worst)), Some((first, first_worst))) =
        (of(|back| back.verdict), of(|back| back.first))
    else {
        return Row::missing(WHAT, problem.unwrap_or("no canaries"), &aim);
    };
    let (lost, requests) = all
        .iter()
        .fold((0, 0), |sum, back| (sum.0 + back.lost, sum.1 + back.requests));
    Row {
        what: WHAT.to_owned(),
        figure: format!("median {middle:.2} s, worst {worst:.2} s"),
        detail: format!(
            "{} canaries at {WEIGHT} %, from the sample that gave the verdict until the candidate's last answer; from the first bad sample, \
             of which one is forgiven, median {first:.2} s, worst {first_worst:.2} s; {} of {} requests lost",
            all.len(),
            grouped(lost),
            grouped(requests)
        ),
        aim,
        met: Some(worst <= AIM),
    }
    .cut_short(problem)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn status(samples: &Value) -> Value {
        json!({"analyses": [
            {"name": "step-1", "verdict": "Passed", "metrics": []},
            {"name": "background", "verdict": "Failed", "metrics": [
                {"name": "other", "samples": [{"at": "2026-01-01T00:00:00Z", "verdict": "Failure"}]},
                {"name": "error-share", "verdict": "Failed", "samples": samples},
            ]},
        ]})
    }

    #[test]
    fn the_verdict_is_given_by_the_last_failing_sample_of_the_metric_that_failed() {
        let sample = |second: u32, verdict: &str| json!({"at": format!("2026-01-01T00:00:{second:02}.25Z"), "verdict": verdict});
        let at = |second: u32| format!("2026-01-01T00:00:{second:02}.25Z").parse().unwrap();
        let samples = json!([
            sample(1, "Success"),
            sample(2, "Failure"),
            sample(3, "Inconclusive"),
            sample(4, "Failure")
        ]);
        assert_eq!(failing(&status(&samples)), Some((at(2), at(4))));
        let one = json!([sample(2, "Failure")]);
        assert_eq!(failing(&status(&one)), Some((at(2), at(2))));
        assert_eq!(failing(&status(&json!([sample(1, "Success")]))), None);
        assert_eq!(failing(&json!({})), None);
        assert!((seconds(at(2), at(4)) - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn the_analysis_is_watched_until_the_end_at_the_interval_that_the_aim_is_made_of() {
        let metric = analysis()["metrics"][0].clone();
        assert_eq!(
            (&metric["interval"], &metric["count"]),
            (&json!(format!("{INTERVAL}s")), &Value::Null)
        );
        assert_eq!(metric["failureLimit"], 1, "one bad sample is forgiven");
    }

    #[test]
    fn the_row_has_the_median_and_the_worst_and_meets_the_aim_by_the_worst() {
        let back = |verdict| Back {
            verdict,
            first: verdict + 1.0,
            requests: 1_000,
            lost: 0,
        };
        let part = |all: &[f64], problem: Option<&str>| Part {
            found: Found(all.iter().map(|verdict| back(*verdict)).collect()),
            problem: problem.map(ToOwned::to_owned),
        };
        let good = row(&part(&[0.5, 0.25, 3.0], None));
        assert_eq!(good.figure, "median 0.50 s, worst 3.00 s");
        assert!(
            good.detail
                .ends_with("median 1.50 s, worst 4.00 s; 0 of 3,000 requests lost"),
            "{}",
            good.detail
        );
        assert_eq!(good.met, Some(true));
        assert_eq!(row(&part(&[0.5, 3.1], None)).met, Some(false));
        let missing = row(&part(&[], Some("no Prometheus")));
        assert_eq!(
            (missing.figure.as_str(), missing.detail.as_str()),
            ("not measured", "no Prometheus")
        );
        assert_eq!(row(&part(&[0.5], Some("no Prometheus"))).met, None);
    }
}
