//! The evidence of an analysis: one document from which its verdict can be computed again.
//!
//! Values of samples are texts, as they were given: no reader rounds them. Tokens are not in it; neither are the names of their Secrets.

use std::collections::BTreeMap;

use dcanary_core::definition::text;
use dcanary_crds::{AnalysisStatus, Metric, MetricStatus, OnNoData, Sample, SampleVerdict, Verdict};
use dcanary_types::value::sha256;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{BACKGROUND, Counts, Judge, Rules, Vars, advance};
use crate::{plan::Source, render};

/// Format of the document.
pub const FORMAT: &str = "dcanary-evidence/1";

/// The document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Document {
    pub format: String,
    pub analysis: String,
    /// It is the analysis of the whole rollout.
    pub endless: bool,
    pub environment: String,
    pub namespace: String,
    pub release: String,
    /// What `baseline` is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<String>,
    pub images: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    pub message: String,
    pub metrics: Vec<Measured>,
}

/// A metric of the document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Measured {
    pub name: String,
    pub source: Origin,
    /// Where `baseline` comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<Origin>,
    pub initial_delay: u64,
    pub interval: u64,
    pub rules: Rules,
    pub on_no_data: OnNoData,
    pub compare: bool,
    pub dry_run: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// Samples that are not listed any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Counts>,
    pub samples: Vec<Sample>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

/// Where values come from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) enum Origin {
    #[serde(rename_all = "camelCase")]
    Prometheus { address: String, query: String },
    #[serde(rename_all = "camelCase")]
    Web {
        url: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        json_path: Option<String>,
    },
    /// A stage, by its name and the digest of its canonical JSON.
    #[serde(rename_all = "camelCase")]
    Job { stage: String, digest: String },
    /// It could not be asked.
    #[serde(rename_all = "camelCase")]
    Nothing { why: String },
}

/// The evidence of an analysis as it stands: its digest, `sha256:…`, and the document, canonical JSON (sorted keys, no spaces). Equal
/// arguments give an equal document.
pub fn evidence(status: &AnalysisStatus, metrics: &[Metric], vars: &Vars) -> (String, String) {
    let endless = status.name == BACKGROUND;
    let measured = metrics.iter().filter_map(|metric| {
        let of = status.metrics.iter().find(|of| of.name == metric.name)?;
        Some(one(metric, of, vars, endless))
    });
    let document = Document {
        format: FORMAT.to_owned(),
        analysis: status.name.clone(),
        endless,
        environment: vars.environment.clone(),
        namespace: vars.namespace.clone(),
        release: vars.release.clone(),
        // what it is otherwise has no part in the verdict, and changes with a promotion
        stable: vars
            .stable
            .clone()
            .filter(|_| metrics.iter().any(|metric| metric.compare)),
        images: vars.images.clone(),
        started_at: status.started_at,
        finished_at: status.finished_at,
        verdict: status.verdict,
        message: status.message.clone(),
        metrics: measured.collect(),
    };
    let document = render::canonical(&serde_json::to_value(&document).unwrap_or(Value::Null));
    (text(&sha256(document.as_bytes())), document)
}

fn one(metric: &Metric, of: &MetricStatus, vars: &Vars, endless: bool) -> Measured {
    let seconds = |given: Option<dcanary_crds::Duration>, otherwise| {
        given.map_or(otherwise, dcanary_crds::Duration::as_secs)
    };
    Measured {
        name: metric.name.clone(),
        source: from(metric, vars, false),
        baseline: metric.compare.then(|| from(metric, vars, true)),
        initial_delay: seconds(metric.initial_delay, 0),
        interval: seconds(metric.interval, advance::INTERVAL),
        rules: Rules::of(metric, endless),
        on_no_data: metric.on_no_data,
        compare: metric.compare,
        dry_run: metric.dry_run,
        success: metric.success.clone(),
        failure: metric.failure.clone(),
        before: before(metric, of),
        samples: of.samples.clone(),
        verdict: of.verdict,
    }
}

fn from(metric: &Metric, vars: &Vars, baseline: bool) -> Origin {
    if let Some(stage) = &metric.job {
        let value = serde_json::to_value(stage).unwrap_or(Value::Null);
        return Origin::Job {
            stage: stage.name.clone(),
            digest: render::digest(&value),
        };
    }
    match advance::source(metric, vars, baseline) {
        Ok(Some(Source::Prometheus { address, query })) => Origin::Prometheus {
            address: bare(&address),
            query,
        },
        Ok(Some(Source::Web { url, json_path })) => Origin::Web {
            url: bare(&url),
            json_path,
        },
        Ok(None) => Origin::Nothing {
            why: "nothing says how it is measured".to_owned(),
        },
        Err(why) => Origin::Nothing { why },
    }
}

/// The URL without user and password: `validate` lets none through, and none gets into a document that is kept.
fn bare(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// What was counted before the samples that are kept. Samples in a row count only where the row goes on through all that are kept; one
/// that broke off is over.
fn before(metric: &Metric, of: &MetricStatus) -> Option<Counts> {
    let judge = Judge::of(metric).ok()?;
    let kept = of.samples.iter().fold(Counts::default(), |counts, sample| {
        counts.and(sample.verdict, judge.data(sample, sample.verdict))
    });
    let all = |verdict| of.samples.iter().all(|sample| sample.verdict == verdict);
    let before = Counts {
        taken: of.taken - kept.taken,
        with_data: of.with_data - kept.with_data,
        successful: of.successful - kept.successful,
        failed: of.failed - kept.failed,
        inconclusive: of.inconclusive - kept.inconclusive,
        errors: if all(SampleVerdict::Error) {
            of.errors - kept.errors
        } else {
            0
        },
        streak: if all(SampleVerdict::Success) {
            of.streak - kept.streak
        } else {
            0
        },
    };
    (before.taken > 0).then_some(before)
}
