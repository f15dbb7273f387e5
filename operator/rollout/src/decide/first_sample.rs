//! `spec.analysis` at the end of the steps: nothing is promoted of which no sample said that it is good.

use dcanary_core::time::later;
use dcanary_crds::{AnalysisStatus, Duration, Metric, Verdict};
use jiff::Timestamp;

use super::pass::Pass;
use crate::analysis::{self, BACKGROUND};

impl Pass<'_> {
    /// Whether a metric of the background analysis has no good sample yet, so that its next ones are waited for: until its limits decide, or a
    /// person does when the deadline has passed. Where a person has said that it goes on, none is waited for.
    pub(super) fn awaits_first_sample(&mut self) -> bool {
        let Some(rollout) = self.active().cloned() else {
            return false;
        };
        if rollout.resumed
            || self.is_accepted(BACKGROUND)
            || !self.due(&rollout).iter().any(|name| name == BACKGROUND)
        {
            return false;
        }
        if self.background().is_none() {
            // its first requests came in this pass
            self.measure();
        }
        let Some((message, delay)) = self.missing_samples() else {
            return false;
        };
        let began = self.background().and_then(|status| status.started_at);
        let due = later(began.unwrap_or(self.now), delay);
        let since: Timestamp = rollout.since.unwrap_or(self.now).max(due);
        let end = later(since, self.deadline());
        if !self.reached(end) {
            self.say("Analysis", message);
            return true;
        }
        self.conclude_background();
        if let Some((Verdict::Inconclusive, message)) = self.verdict(BACKGROUND) {
            self.ask(&message);
        }
        true
    }

    fn background(&self) -> Option<&AnalysisStatus> {
        let rollout = self.status.rollout.as_ref()?;
        rollout.analyses.iter().find(|status| status.name == BACKGROUND)
    }

    /// Which samples are waited for, and the longest time in seconds that one of their metrics waits before it begins.
    fn missing_samples(&self) -> Option<(String, u64)> {
        // one that cannot be carried out is not waited for here
        let metrics = analysis::metrics(&self.analysis(BACKGROUND)?, self.seen).ok()?;
        let status = self.background().filter(|status| status.verdict.is_none())?;
        let missing: Vec<&Metric> = analysis::without_a_good_sample(status, &metrics).collect();
        let delays = missing.iter().filter_map(|metric| metric.initial_delay);
        let delay = delays.map(Duration::as_secs).max().unwrap_or(0);
        let names: Vec<String> = missing
            .iter()
            .map(|metric| format!("`{}`", metric.name))
            .collect();
        let mut message = format!("waits for a first sample of {} that is good", names.join(", "));
        if !status.message.is_empty() {
            message = format!("{message}: {}", status.message);
        }
        (!missing.is_empty()).then_some((message, delay))
    }
}
