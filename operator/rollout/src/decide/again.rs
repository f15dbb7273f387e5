//! Earlier releases that come again under another kind of strategy than the one under which they came.

use dcanary_crds::{DeployedRelease, RolloutOutcome};

use super::pass::Pass;
use crate::render;

impl Pass<'_> {
    /// The workload in which an earlier release comes again as it was. `None`: what it was is not known any more where Pods are replaced in
    /// another way than then.
    pub(super) fn comes_again_in(&self, deployed: &DeployedRelease) -> Option<String> {
        let (workload, identity) = (&deployed.workload, &deployed.identity);
        if !self.in_place() && self.is_adopted(workload) && deployed.release.is_empty() {
            return Some(workload.clone());
        }
        let was_in_place = workload == self.name;
        let other = match (was_in_place, self.in_place()) {
            (false, true) => self.name.to_owned(),
            // later releases may have come in the same workload
            (true, false) if !self.carries(workload, identity) => render::release_name(self.env, identity),
            _ => return Some(workload.clone()),
        };
        self.is_recorded_or_made(deployed).then_some(other)
    }

    /// Whether an earlier release can be made now as it was.
    pub(super) fn is_made(&self, deployed: &DeployedRelease) -> bool {
        let candidate = self.candidate_of(&deployed.namespace, &deployed.release, &deployed.identity);
        candidate.is_some()
    }

    /// Whether an earlier release can be made as it was, in place also from its record.
    pub(super) fn is_recorded_or_made(&self, deployed: &DeployedRelease) -> bool {
        let recorded =
            || self.in_place() && render::recorded(self.env, &deployed.identity, 0, true, self.seen).is_ok();
        recorded() || self.is_made(deployed)
    }

    /// Whether an earlier release is the stable one by now, in another workload.
    pub(super) fn is_elsewhere(&self, deployed: &DeployedRelease) -> bool {
        let stable = self.status.stable.as_ref();
        stable.is_some_and(|stable| stable.identity == deployed.identity)
    }

    /// Whether nothing is left of an earlier release but what the stable one is too.
    pub(super) fn is_nothing_but_stable(&self, deployed: &DeployedRelease) -> bool {
        let state = self.state(&deployed.workload);
        self.is_elsewhere(deployed) && state.is_none_or(|state| state.replicas == 0)
    }

    /// Whether the rollout says how many Pods a workload has: the candidate's, until its last requests have had time to end.
    pub(super) fn is_the_rollouts(&self, workload: &str) -> bool {
        let rollout = self.status.rollout.as_ref();
        rollout.is_some_and(|rollout| {
            let draining = || {
                rollout.outcome != Some(RolloutOutcome::Promoted)
                    && self.emptied_at().is_some_and(|at| self.now < at)
            };
            rollout.workload == workload && (rollout.finished_at.is_none() || draining())
        })
    }

    /// Whether no earlier release says how many Pods the candidate's workload has: it has none of that name, or the rollout still says it.
    pub(super) fn is_no_earlier_ones(&self, workload: &str) -> bool {
        let mut history = self.status.history.iter();
        self.is_the_rollouts(workload) || history.all(|deployed| deployed.workload != workload)
    }
}
