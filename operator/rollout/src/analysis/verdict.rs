//! From counted samples to verdicts.
//!
//! | a metric's samples | its verdict |
//! | --- | --- |
//! | more bad ones than `failureLimit` | Failed, at once |
//! | more that are neither than `inconclusiveLimit` | Inconclusive |
//! | more in a row that could not be taken than `errorLimit` | Inconclusive |
//! | `consecutiveSuccess` good ones in a row, `minSamples` with data | Passed |
//! | `count` taken, one of them good, `minSamples` with data | Passed |
//! | `count` taken otherwise | Inconclusive |
//!
//! The first line that holds counts. In the analysis of the whole rollout a metric without `count` is watched until the end: the lines that
//! pass it are left out. The end passes what has one good sample, and `minSamples` with data.

use dcanary_crds::{Metric, MetricStatus, OnNoData, SampleVerdict, Verdict};
use serde::{Deserialize, Serialize};

/// How a metric's samples are counted, with all defaults in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Rules {
    /// Samples to take; without it they are taken until the rollout ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<i32>,
    /// Bad samples that are forgiven.
    pub failure_limit: i32,
    /// Samples that are neither good nor bad that are forgiven.
    pub inconclusive_limit: i32,
    /// Samples in a row that could not be taken that are forgiven.
    pub error_limit: i32,
    /// Good samples in a row that pass it early.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub consecutive_success: Option<i32>,
    /// Samples with data that a pass needs.
    pub min_samples: i32,
    /// The end of the rollout passes it only with a good sample. Documents from before this rule do not say so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub good_needed: bool,
}

impl Rules {
    /// The rules of a metric; `endless` in the analysis of the whole rollout.
    pub fn of(metric: &Metric, endless: bool) -> Self {
        let watched = endless && metric.count.is_none();
        let none_needed = watched || metric.on_no_data == OnNoData::Success;
        let min_samples = metric.min_samples.unwrap_or(i32::from(!none_needed));
        let consecutive_success = metric.consecutive_success.filter(|_| !watched);
        let enough = min_samples.max(consecutive_success.unwrap_or(1)).max(1);
        Self {
            count: (!watched).then(|| metric.count.unwrap_or(enough)),
            failure_limit: metric.failure_limit.unwrap_or(0),
            inconclusive_limit: metric.inconclusive_limit.unwrap_or(3),
            error_limit: metric.error_limit.unwrap_or(4),
            consecutive_success,
            min_samples,
            good_needed: endless,
        }
    }

    /// What these samples lack where the rollout ends before they have decided: enough data, or a good one.
    pub(super) fn lack(&self, counts: &Counts) -> bool {
        counts.with_data < self.min_samples || self.lack_a_good_one(counts)
    }

    /// Whether a good one is needed and none is there.
    pub(super) fn lack_a_good_one(&self, counts: &Counts) -> bool {
        self.good_needed && counts.successful == 0
    }

    /// The verdict of a metric, if there is one.
    pub fn verdict(&self, counts: &Counts) -> Option<Verdict> {
        if counts.failed > self.failure_limit {
            return Some(Verdict::Failed);
        }
        if counts.inconclusive > self.inconclusive_limit || counts.errors > self.error_limit {
            return Some(Verdict::Inconclusive);
        }
        let enough = counts.with_data >= self.min_samples;
        if self
            .consecutive_success
            .is_some_and(|needed| counts.streak >= needed)
            && enough
        {
            return Some(Verdict::Passed);
        }
        if self.count.is_none_or(|count| counts.taken < count) {
            return None;
        }
        Some(if enough && counts.successful > 0 {
            Verdict::Passed
        } else {
            Verdict::Inconclusive
        })
    }
}

/// Counted samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Counts {
    /// All.
    pub taken: i32,
    /// With data.
    pub with_data: i32,
    /// Good.
    pub successful: i32,
    /// Bad.
    pub failed: i32,
    /// Neither.
    pub inconclusive: i32,
    /// Could not be taken, in a row.
    pub errors: i32,
    /// Good, in a row.
    pub streak: i32,
}

impl Counts {
    /// Those of a status.
    pub fn of(status: &MetricStatus) -> Self {
        Self {
            taken: status.taken,
            with_data: status.with_data,
            successful: status.successful,
            failed: status.failed,
            inconclusive: status.inconclusive,
            errors: status.errors,
            streak: status.streak,
        }
    }

    /// With one more sample.
    pub fn and(mut self, verdict: SampleVerdict, data: bool) -> Self {
        self.taken = self.taken.saturating_add(1);
        self.with_data = self.with_data.saturating_add(i32::from(data));
        match verdict {
            SampleVerdict::Success => self.successful = self.successful.saturating_add(1),
            SampleVerdict::Failure => self.failed = self.failed.saturating_add(1),
            SampleVerdict::Inconclusive => self.inconclusive = self.inconclusive.saturating_add(1),
            SampleVerdict::Error => {}
        }
        self.errors = if verdict == SampleVerdict::Error {
            self.errors.saturating_add(1)
        } else {
            0
        };
        self.streak = if verdict == SampleVerdict::Success {
            self.streak.saturating_add(1)
        } else {
            0
        };
        self
    }

    /// Whether samples can be counted so.
    pub(super) fn possible(&self) -> bool {
        let judged = [self.successful, self.failed, self.inconclusive];
        let rows = [self.with_data, self.errors, self.streak];
        let sum = judged.iter().fold(0, |sum: i32, one| sum.saturating_add(*one));
        judged
            .iter()
            .chain(&rows)
            .all(|one| (0..=self.taken).contains(one))
            && sum <= self.taken
    }

    /// Writes them into a status.
    pub(super) fn write(self, status: &mut MetricStatus) {
        status.taken = self.taken;
        status.with_data = self.with_data;
        status.successful = self.successful;
        status.failed = self.failed;
        status.inconclusive = self.inconclusive;
        status.errors = self.errors;
        status.streak = self.streak;
    }
}

/// A metric as the whole sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// It decides nothing.
    pub dry_run: bool,
    /// Its verdict.
    pub verdict: Option<Verdict>,
}

/// The verdict of an analysis, if there is one: the worst of the metrics that decide, at once; passed only when each has passed. One of the
/// whole rollout never passes by itself. Where no metric decides, it passes once each was measured.
pub fn whole(parts: &[Part], endless: bool) -> Option<Verdict> {
    let deciding = || parts.iter().filter(|part| !part.dry_run);
    for verdict in [Verdict::Failed, Verdict::Inconclusive] {
        if deciding().any(|part| part.verdict == Some(verdict)) {
            return Some(verdict);
        }
    }
    let decides = deciding().next().is_some();
    let mut waited_for = parts.iter().filter(|part| !(decides && part.dry_run));
    let done = !endless && !parts.is_empty() && waited_for.all(|part| part.verdict.is_some());
    done.then_some(Verdict::Passed)
}

/// The verdict of an analysis of the whole rollout when that is at its end: passed, unless a metric that decides had no good sample, or fewer
/// with data than it was told to need.
pub(super) fn at_the_end<'a>(parts: impl IntoIterator<Item = (Part, &'a Rules, Counts)>) -> Verdict {
    let short = |(part, rules, counts): (Part, &Rules, Counts)| {
        !part.dry_run && part.verdict.is_none() && rules.lack(&counts)
    };
    if parts.into_iter().any(short) {
        Verdict::Inconclusive
    } else {
        Verdict::Passed
    }
}
