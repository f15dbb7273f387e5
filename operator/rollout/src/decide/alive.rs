//! A candidate that has requests keeps the Pods for them, or goes back.

use dcanary_core::time::later;
use dcanary_crds::{Doing, Rollout, RolloutOutcome};

use super::pass::Pass;

impl Pass<'_> {
    /// Whether the candidate has Pods for the requests that it has. Else the step is held up, and at the deadline it goes back; a restart within
    /// it is forgiven.
    pub(super) fn is_alive(&mut self) -> bool {
        let Some(rollout) = self.active().cloned() else {
            return true;
        };
        let moving = matches!(
            rollout.doing,
            Doing::Stepping | Doing::Promoting | Doing::Verifying
        );
        if !moving || self.relieves() {
            return true;
        }
        let state = self.state(&rollout.workload);
        let available = state.as_ref().map_or(0, |state| state.available);
        let needed = self.pods_for_requests(&rollout);
        if available >= needed {
            self.note_unready(None);
            return true;
        }
        let since = rollout.unready_since.unwrap_or(self.now);
        self.note_unready(Some(since));
        let problem = self.problem(state.as_ref());
        let (weight, deadline) = (rollout.weight, self.deadline());
        if self.reached(later(since, deadline)) {
            let message = format!(
                "{weight} % of the requests need {needed} ready Pods of the candidate; for {deadline} s there were fewer ({available} are ready){problem}"
            );
            self.turn_back(RolloutOutcome::RolledBack, "ProgressDeadlineExceeded", &message);
        } else {
            self.say(
                "WaitingForPods",
                format!(
                    "{weight} % of the requests need {needed} ready Pods of the candidate, {available} are ready{problem}"
                ),
            );
        }
        false
    }

    fn note_unready(&mut self, since: Option<jiff::Timestamp>) {
        if let Some(rollout) = &mut self.status.rollout {
            rollout.unready_since = since;
        }
    }

    /// Pods that the candidate needs for the requests that it has now.
    fn pods_for_requests(&self, rollout: &Rollout) -> i32 {
        if rollout.weight == 0 || self.status.stable.is_none() {
            // nothing is lost yet, or there is nothing to go back to
            return 0;
        }
        let needed = self.for_weight_here(rollout.weight, rollout.stable_replicas.max(1));
        let asked = if self.in_place() {
            // so many as there should be: a DaemonSet loses one with its node
            self.state(&rollout.workload)
                .map_or(needed, |state| state.replicas)
        } else {
            self.candidate_target(rollout)
        };
        needed.min(asked)
    }
}
