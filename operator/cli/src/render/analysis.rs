//! An analysis that was computed again.

use dcanary_crds::{SampleVerdict, Verdict};
use dcanary_rollout::analysis::{Replayed, ReplayedMetric, ReplayedSample, Rules};

use crate::output::{Style, Tone, table::table};

/// Metrics, samples, thresholds, and whether the verdict is what the document claims.
pub fn replayed(found: &Replayed, style: Style) -> String {
    let mut text = format!(
        "{} of release {} in {}/{}\n",
        style.paint(Tone::Strong, &format!("Analysis {}", found.analysis)),
        found.release,
        found.namespace,
        found.environment
    );
    if let Some(stable) = &found.stable {
        text.push_str(&format!("Compared with {stable}\n"));
    }
    text.push_str(&format!("Document {}\n", found.digest));
    for metric in &found.metrics {
        text.push('\n');
        text.push_str(&one(metric, style));
    }
    text.push('\n');
    for difference in &found.differences {
        text.push_str(&format!(
            "{} {}: the document says {}, computed is {}\n",
            style.paint(Tone::Bad, "✖"),
            difference.place,
            difference.claimed,
            difference.computed
        ));
    }
    let said = word(found.verdict);
    if found.agrees() {
        let tone = tone(found.verdict);
        text.push_str(&format!("{}, as the document says\n", style.paint(tone, said)));
    } else {
        let end = format!(
            "DIFFERS: computed {said}, the document says {}",
            word(found.claimed)
        );
        text.push_str(&format!("{}\n", style.paint(Tone::Bad, &end)));
    }
    text
}

fn one(metric: &ReplayedMetric, style: Style) -> String {
    let dry = if metric.dry_run {
        " (dry run, decides nothing)"
    } else {
        ""
    };
    let mut text = format!(
        "{}: {}{dry}\n  {}\n",
        style.paint(Tone::Strong, &metric.name),
        style.paint(tone(metric.verdict), word(metric.verdict)),
        metric.source
    );
    if let Some(baseline) = &metric.baseline {
        text.push_str(&format!("  baseline: {baseline}\n"));
    }
    for (field, condition) in [("success", &metric.success), ("failure", &metric.failure)] {
        if let Some(condition) = condition {
            text.push_str(&format!("  {field}: {condition}\n"));
        }
    }
    text.push_str(&format!("  {}\n", limits(&metric.rules)));
    if let Some(before) = &metric.before {
        text.push_str(&format!(
            "  before those below: {} samples, {} good, {} bad, {} neither\n",
            before.taken, before.successful, before.failed, before.inconclusive
        ));
    }
    if !metric.samples.is_empty() {
        let compared = metric.baseline.is_some();
        let mut heading = vec!["AT", "RESULT", "BASELINE", "VERDICT", "WHY"];
        if !compared {
            heading.remove(2);
        }
        let rows = metric.samples.iter().map(|sample| row(sample, compared, style));
        for line in table(&heading, rows.collect()).lines() {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text
}

fn row(sample: &ReplayedSample, compared: bool, style: Style) -> Vec<String> {
    let ReplayedSample { sample, judged } = sample;
    let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
    let mut cells = vec![
        sample.at.map_or_else(|| "-".to_owned(), |at| at.to_string()),
        shown(&sample.value),
    ];
    if compared {
        cells.push(shown(&sample.baseline));
    }
    let tone = match judged {
        SampleVerdict::Success => Tone::Good,
        SampleVerdict::Failure => Tone::Bad,
        SampleVerdict::Inconclusive | SampleVerdict::Error => Tone::Warn,
    };
    cells.push(style.paint(tone, &format!("{judged:?}")));
    cells.push(sample.error.clone().unwrap_or_default());
    cells
}

fn limits(rules: &Rules) -> String {
    let mut parts = vec![match rules.count {
        Some(count) => format!("count {count}"),
        None => "until the rollout ends".to_owned(),
    }];
    parts.push(format!("failureLimit {}", rules.failure_limit));
    parts.push(format!("inconclusiveLimit {}", rules.inconclusive_limit));
    parts.push(format!("errorLimit {}", rules.error_limit));
    if let Some(needed) = rules.consecutive_success {
        parts.push(format!("consecutiveSuccess {needed}"));
    }
    parts.push(format!("minSamples {}", rules.min_samples));
    parts.join(", ")
}

fn word(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Passed) => "Passed",
        Some(Verdict::Failed) => "Failed",
        Some(Verdict::Inconclusive) => "Inconclusive",
        None => "undecided",
    }
}

fn tone(verdict: Option<Verdict>) -> Tone {
    match verdict {
        Some(Verdict::Passed) => Tone::Good,
        Some(Verdict::Failed) => Tone::Bad,
        Some(Verdict::Inconclusive) => Tone::Warn,
        None => Tone::Busy,
    }
}

#[cfg(test)]
mod tests {
    use dcanary_crds::{AnalysisStatus, Metric, MetricStatus, Prometheus, Sample};
    use dcanary_rollout::analysis::{Vars, evidence, replay};

    use super::*;

    fn document() -> String {
        let metric = Metric {
            name: "errors".to_owned(),
            success: Some("result < 0.01".to_owned()),
            failure_limit: Some(1),
            count: Some(3),
            prometheus: Some(Prometheus {
                address: "http://prometheus:9090".to_owned(),
                query: "errors{release=\"$(release)\"}".to_owned(),
                ..Prometheus::default()
            }),
            ..Metric::default()
        };
        let sample = |at: &str, value: Option<&str>, verdict, error: Option<&str>| Sample {
            at: Some(at.parse().unwrap()),
            value: value.map(str::to_owned),
            verdict,
            error: error.map(str::to_owned),
            ..Sample::default()
        };
        let status = AnalysisStatus {
            name: "step-1".to_owned(),
            verdict: Some(Verdict::Failed),
            metrics: vec![MetricStatus {
                name: "errors".to_owned(),
                verdict: Some(Verdict::Failed),
                taken: 3,
                with_data: 2,
                failed: 2,
                samples: vec![
                    sample("2026-03-01T12:00:00Z", Some("0.25"), SampleVerdict::Failure, None),
                    sample(
                        "2026-03-01T12:00:30Z",
                        None,
                        SampleVerdict::Error,
                        Some("no answer in 10s"),
                    ),
                    sample(
                        "2026-03-01T12:01:00Z",
                        Some("0.125"),
                        SampleVerdict::Failure,
                        None,
                    ),
                ],
                ..MetricStatus::default()
            }],
            ..AnalysisStatus::default()
        };
        let vars = Vars {
            release: "web-42".to_owned(),
            environment: "production".to_owned(),
            namespace: "shop".to_owned(),
            ..Vars::default()
        };
        evidence(&status, &[metric], &vars).1
    }

    #[test]
    fn a_verdict_that_follows_is_shown_with_what_it_follows_from() {
        let text = replayed(&replay(&document()).unwrap(), Style::PLAIN);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "Analysis step-1 of release web-42 in shop/production");
        assert!(lines[1].starts_with("Document sha256:"));
        assert_eq!(
            lines[2..],
            [
                "",
                "errors: Failed",
                "  prometheus http://prometheus:9090: errors{release=\"web-42\"}",
                "  success: result < 0.01",
                "  count 3, failureLimit 1, inconclusiveLimit 3, errorLimit 4, minSamples 1",
                "  AT                     RESULT   VERDICT   WHY",
                "  2026-03-01T12:00:00Z   0.25     Failure",
                "  2026-03-01T12:00:30Z   -        Error     no answer in 10s",
                "  2026-03-01T12:01:00Z   0.125    Failure",
                "",
                "Failed, as the document says",
            ]
        );
    }

    #[test]
    fn a_verdict_that_does_not_follow_is_shown_with_the_place() {
        let forged = document().replace("\"0.125\"", "\"0.001\"");
        let text = replayed(&replay(&forged).unwrap(), Style::PLAIN);
        assert!(
            text.contains(
                "✖ metrics[0] (errors).samples[2].verdict: the document says Failure, computed is Success\n"
            ),
            "{text}"
        );
        assert!(
            text.ends_with("DIFFERS: computed Passed, the document says Failed\n"),
            "{text}"
        );
    }
}
