//! The verdict of an analysis, computed again from its evidence and nothing else.

use dcanary_core::definition::text;
use dcanary_crds::{Metric, Sample, SampleVerdict, Verdict};
use dcanary_types::value::sha256;
use jiff::Timestamp;
use serde::Serialize;
use thiserror::Error;

use super::{
    Counts, FORMAT, Judge, Rules,
    evidence::{Document, Measured, Origin},
    verdict::{Part, at_the_end, whole},
};

/// Largest document that is read.
const BYTES: usize = 16 << 20;

/// A document that cannot be replayed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReplayError {
    /// It is too large.
    #[error("the document has {0} bytes; evidence has at most {BYTES}")]
    TooLarge(usize),
    /// It is no evidence, or of another version.
    #[error("this is no evidence: its format is `{0}`, not `{FORMAT}`")]
    Format(String),
    /// It is no JSON, or has not the members that it should have.
    #[error("this is no evidence: {0}")]
    Malformed(String),
    /// A condition in it is no CEL.
    #[error("metric `{metric}` cannot be judged: {problem}")]
    Condition {
        /// The metric.
        metric: String,
        /// What is wrong.
        problem: String,
    },
}

/// An analysis, judged again.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// SHA-256 of the document, `sha256:…`, as the journal records it.
    pub digest: String,
    /// Name of the analysis.
    pub analysis: String,
    /// The Environment.
    pub environment: String,
    /// Its namespace.
    pub namespace: String,
    /// The release that was measured.
    pub release: String,
    /// What it was compared with.
    pub stable: Option<String>,
    /// When it began.
    pub started_at: Option<Timestamp>,
    /// When it was decided.
    pub finished_at: Option<Timestamp>,
    /// What the document says for people.
    pub message: String,
    /// The verdict that the document claims.
    pub claimed: Option<Verdict>,
    /// The verdict that follows from the samples.
    pub verdict: Option<Verdict>,
    /// Metrics.
    pub metrics: Vec<ReplayedMetric>,
    /// Where the document claims something else than what follows.
    pub differences: Vec<Difference>,
}

/// A metric, judged again.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayedMetric {
    /// Name.
    pub name: String,
    /// It decides nothing.
    pub dry_run: bool,
    /// Where its values come from.
    pub source: String,
    /// Where those of the baseline come from.
    pub baseline: Option<String>,
    /// When a sample is good.
    pub success: Option<String>,
    /// When a sample is bad.
    pub failure: Option<String>,
    /// How samples are counted.
    pub rules: Rules,
    /// Samples that the document only counts.
    pub before: Option<Counts>,
    /// All samples, counted.
    pub counts: Counts,
    /// Samples that the document lists.
    pub samples: Vec<ReplayedSample>,
    /// The verdict that the document claims.
    pub claimed: Option<Verdict>,
    /// The verdict that follows from the samples.
    pub verdict: Option<Verdict>,
}

/// A sample, judged again.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReplayedSample {
    /// As the document has it.
    #[serde(flatten)]
    pub sample: Sample,
    /// What it counts as.
    pub judged: SampleVerdict,
}

/// Something that the document claims and that does not follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// Where in the document, as a path of its members.
    pub place: String,
    /// What it claims.
    pub claimed: String,
    /// What follows.
    pub computed: String,
}

impl Replayed {
    /// Whether everything that the document claims follows from what it holds.
    pub fn agrees(&self) -> bool {
        self.differences.is_empty()
    }
}

/// Judges every sample, metric and the analysis again.
///
/// # Errors
/// When the document cannot be read or judged; what it claims wrongly is a [`Difference`].
pub fn replay(document: &str) -> Result<Replayed, ReplayError> {
    let read = read(document)?;
    let mut differences = Vec::new();
    let mut metrics = Vec::new();
    for (i, measured) in read.metrics.iter().enumerate() {
        metrics.push(judge(i, measured, &mut differences)?);
    }
    let parts: Vec<Part> = metrics.iter().map(part).collect();
    let mut verdict = whole(&parts, read.endless);
    // one of the whole rollout is ended by it, not by samples
    if verdict.is_none() && read.endless && read.verdict.is_some() {
        let all = metrics
            .iter()
            .map(|metric| (part(metric), &metric.rules, metric.counts));
        verdict = Some(at_the_end(all));
    }
    differ(&mut differences, "verdict", word(read.verdict), word(verdict));
    Ok(Replayed {
        digest: text(&sha256(document.as_bytes())),
        analysis: read.analysis,
        environment: read.environment,
        namespace: read.namespace,
        release: read.release,
        stable: read.stable,
        started_at: read.started_at,
        finished_at: read.finished_at,
        message: read.message,
        claimed: read.verdict,
        verdict,
        metrics,
        differences,
    })
}

fn read(document: &str) -> Result<Document, ReplayError> {
    if document.len() > BYTES {
        return Err(ReplayError::TooLarge(document.len()));
    }
    let malformed = |problem: serde_json::Error| ReplayError::Malformed(problem.to_string());
    let value: serde_json::Value = serde_json::from_str(document).map_err(malformed)?;
    match value.get("format").and_then(serde_json::Value::as_str) {
        Some(FORMAT) => {}
        Some(other) => return Err(ReplayError::Format(other.to_owned())),
        None => return Err(ReplayError::Malformed("it has no `format`".to_owned())),
    }
    // from the text, not from the value: a member that is there twice is refused
    serde_json::from_str(document).map_err(malformed)
}

fn judge(
    index: usize,
    measured: &Measured,
    differences: &mut Vec<Difference>,
) -> Result<ReplayedMetric, ReplayError> {
    let place = format!("metrics[{index}] ({})", measured.name);
    let judge = Judge::of(&Metric {
        name: measured.name.clone(),
        success: measured.success.clone(),
        failure: measured.failure.clone(),
        on_no_data: measured.on_no_data,
        compare: measured.compare,
        ..Metric::default()
    })
    .map_err(|problem| ReplayError::Condition {
        metric: measured.name.clone(),
        problem: problem.to_string(),
    })?;
    let mut counts = measured.before.unwrap_or_default();
    if !counts.possible() {
        differ(
            differences,
            &format!("{place}.before"),
            "counts",
            "counts that are never reached",
        );
    }
    let mut verdict = measured.rules.verdict(&counts);
    let mut samples = Vec::new();
    for (i, sample) in measured.samples.iter().enumerate() {
        let at = format!("{place}.samples[{i}]");
        if let Some(verdict) = verdict {
            // it would have stopped there
            differ(
                differences,
                &at,
                "a sample",
                format!("none: {} already", word(Some(verdict))),
            );
        }
        let (judged, _) = judge.judge(sample);
        differ(
            differences,
            &format!("{at}.verdict"),
            format!("{:?}", sample.verdict),
            format!("{judged:?}"),
        );
        counts = counts.and(judged, judge.data(sample, judged));
        verdict = verdict.or_else(|| measured.rules.verdict(&counts));
        samples.push(ReplayedSample {
            sample: sample.clone(),
            judged,
        });
    }
    differ(
        differences,
        &format!("{place}.verdict"),
        word(measured.verdict),
        word(verdict),
    );
    Ok(ReplayedMetric {
        name: measured.name.clone(),
        dry_run: measured.dry_run,
        source: told(&measured.source),
        baseline: measured.baseline.as_ref().map(told),
        success: measured.success.clone(),
        failure: measured.failure.clone(),
        rules: measured.rules,
        before: measured.before,
        counts,
        samples,
        claimed: measured.verdict,
        verdict,
    })
}

fn part(metric: &ReplayedMetric) -> Part {
    Part {
        dry_run: metric.dry_run,
        verdict: metric.verdict,
    }
}

fn differ(
    differences: &mut Vec<Difference>,
    place: &str,
    claimed: impl Into<String>,
    computed: impl Into<String>,
) {
    let (claimed, computed) = (claimed.into(), computed.into());
    if claimed != computed {
        differences.push(Difference {
            place: place.to_owned(),
            claimed,
            computed,
        });
    }
}

fn word(verdict: Option<Verdict>) -> String {
    verdict.map_or_else(|| "none".to_owned(), |verdict| format!("{verdict:?}"))
}

fn told(source: &Origin) -> String {
    match source {
        Origin::Prometheus { address, query } => format!("prometheus {address}: {query}"),
        Origin::Web { url, json_path: None } => format!("web {url}"),
        Origin::Web {
            url,
            json_path: Some(path),
        } => format!("web {url} at {path}"),
        Origin::Job { stage, digest } => format!("job {stage}, {digest}"),
        Origin::Nothing { why } => format!("nothing: {why}"),
    }
}
