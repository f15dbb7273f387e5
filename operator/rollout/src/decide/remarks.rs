//! What a pause says beside what it waits for.

use std::fmt::Write as _;

use dcanary_crds::Rollout;

use super::pass::Pass;
use crate::traffic;

impl Pass<'_> {
    /// What a person who looks at a pause should know beside it: Pods of the candidate that are not ready, and what a weight without a route is.
    pub(super) fn remarks(&self, rollout: &Rollout) -> String {
        if self.in_place() {
            return String::new();
        }
        let mut remarks = String::new();
        let state = self.state(&rollout.workload);
        let (wanted, available) = (self.candidate_target(rollout), self.candidate_available());
        if available < wanted {
            let problem = self.problem(state.as_ref());
            let _ = write!(
                remarks,
                "; {available} of {wanted} Pods of the candidate are ready{problem}"
            );
        }
        let split = (1..100).contains(&rollout.weight) && !self.is_routed();
        let traffic = traffic::of(self.env, self.seen, None).filter(|_| split);
        if let Some(share) = traffic.and_then(|traffic| traffic.weight()) {
            let _ = write!(
                remarks,
                "; without a route requests go by Pods: the candidate has {share} % of those that are ready, for {} % asked",
                rollout.weight
            );
        }
        remarks
    }
}
