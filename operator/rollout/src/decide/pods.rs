//! Waiting for Pods, and no longer than the deadline.

use dcanary_crds::RolloutOutcome;

use super::pass::Pass;
use crate::render::{self, WorkloadState};

impl Pass<'_> {
    /// Whether a workload has the Pod template of this release.
    pub(super) fn carries(&self, workload: &str, identity: &str) -> bool {
        let object = self.seen.objects.get(&self.workload(workload));
        object.and_then(render::identity_of) == Some(identity)
    }

    /// Says which Pods are missing and why, or turns back when the deadline has passed.
    pub(super) fn await_pods(&mut self, state: Option<&WorkloadState>, reason: &str, missing: &str) {
        let problem = self.problem(state);
        if !self.overdue() {
            // fewer are waited for then
            let emptied = self.active().and_then(|rollout| self.emptying_until(rollout));
            if let Some(at) = emptied {
                self.wake_at(at);
            }
            self.say(reason, format!("{missing}{problem}"));
            return;
        }
        let available = state.map_or(0, |state| state.available);
        let message = format!(
            "its Pods did not become ready within {} s ({available} are){problem}",
            self.deadline()
        );
        self.turn_back(RolloutOutcome::RolledBack, "ProgressDeadlineExceeded", &message);
    }

    /// What keeps Pods from becoming ready, or a write from being taken.
    pub(super) fn problem(&self, state: Option<&WorkloadState>) -> String {
        if let Some((_, refusal)) = self.seen.refusals.iter().next() {
            return format!(": {}: {}", refusal.reason, refusal.message);
        }
        let problem = state.and_then(|state| state.problem.as_ref());
        problem.map_or_else(String::new, |(reason, message)| format!(": {reason}: {message}"))
    }
}
