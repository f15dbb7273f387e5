//! What an analysis says to people: which metric, which value, which threshold.

use dcanary_core::text::cut;
use dcanary_crds::{AnalysisStatus, Metric, MetricStatus, Verdict};

use super::{Counts, Rules};

/// Longest message.
const BYTES: usize = 512;

/// The message of an analysis.
pub(super) fn analysis(status: &AnalysisStatus, metrics: &[Metric], endless: bool) -> String {
    let both = || {
        metrics
            .iter()
            .zip(&status.metrics)
            .filter(|(metric, _)| !metric.dry_run)
    };
    let text = match status.verdict {
        Some(Verdict::Passed) => passed(metrics),
        Some(verdict) => {
            let lacks = |metric: &Metric, of: &MetricStatus| {
                of.verdict.is_none() && Rules::of(metric, endless).lack(&Counts::of(of))
            };
            let found = both()
                .find(|(_, of)| of.verdict == Some(verdict))
                .or_else(|| both().find(|(metric, of)| lacks(metric, of)));
            found.map_or_else(String::new, |(metric, of)| {
                one(metric, of, &Rules::of(metric, endless))
            })
        }
        None => {
            let troubled = both().find(|(_, of)| of.errors > 0);
            troubled.map_or_else(String::new, |(metric, of)| {
                trouble(metric, of, &Rules::of(metric, endless))
            })
        }
    };
    cut(&text, BYTES)
}

fn passed(metrics: &[Metric]) -> String {
    let deciding: Vec<String> = metrics
        .iter()
        .filter(|metric| !metric.dry_run)
        .map(|metric| format!("`{}`", metric.name))
        .collect();
    match deciding.as_slice() {
        [] => "every metric is a dry run: they were measured, and none decides".to_owned(),
        [only] => format!("{only} passed"),
        several => format!("{} passed", several.join(", ")),
    }
}

fn one(metric: &Metric, of: &MetricStatus, rules: &Rules) -> String {
    let counts = Counts::of(of);
    let name = &metric.name;
    match of.verdict {
        Some(Verdict::Failed) => format!(
            "`{name}` failed: {}; {} of {} samples bad, {} forgiven",
            last(metric, of),
            counts.failed,
            counts.taken,
            rules.failure_limit
        ),
        _ if counts.errors > rules.error_limit => trouble(metric, of, rules),
        _ if counts.inconclusive > rules.inconclusive_limit => format!(
            "`{name}` cannot tell: {}; {} of {} samples are neither good nor bad, {} forgiven",
            last(metric, of),
            counts.inconclusive,
            counts.taken,
            rules.inconclusive_limit
        ),
        _ if counts.with_data < rules.min_samples => format!(
            "`{name}` cannot tell: {} of {} samples had data, {} are needed",
            counts.with_data, counts.taken, rules.min_samples
        ),
        _ if counts.taken == 0 => format!("`{name}` cannot tell: it has no sample"),
        _ => format!("`{name}` cannot tell: none of {} samples was good", counts.taken),
    }
}

fn trouble(metric: &Metric, of: &MetricStatus, rules: &Rules) -> String {
    let why = of.samples.last().and_then(|sample| sample.error.as_deref());
    format!(
        "`{}` cannot be measured: {}; {} in a row, {} forgiven",
        metric.name,
        why.unwrap_or("no answer"),
        of.errors,
        rules.error_limit
    )
}

/// The last sample beside its thresholds.
fn last(metric: &Metric, of: &MetricStatus) -> String {
    let sample = of.samples.last();
    let value = sample.and_then(|sample| sample.value.as_deref());
    if metric.job.is_some() && metric.success.is_none() && metric.failure.is_none() {
        let why = sample.and_then(|sample| sample.error.as_deref());
        return why.map_or_else(
            || "the job failed".to_owned(),
            |why| format!("the job failed, {why}"),
        );
    }
    let mut text = value.map_or_else(|| "no data".to_owned(), |value| format!("result {value}"));
    if let Some(baseline) = sample.and_then(|sample| sample.baseline.as_deref()) {
        text.push_str(&format!(", baseline {baseline}"));
    }
    let thresholds = [("success", &metric.success), ("failure", &metric.failure)];
    for (field, condition) in thresholds {
        if let Some(condition) = condition {
            text.push_str(&format!(", {field} is `{condition}`"));
        }
    }
    text
}
