//! What still happens while the spec is not followed: people end promotions, and go back.

use dcanary_crds::{Promotion, Rollout, RolloutOutcome};

use super::{SpecError, pass::Pass, take_up::Next};
use crate::wanted::Gate;

/// A promotion with what it would deploy, or what it waits for and its identity, where that is known.
type Looked<'a> = Result<Next<'a>, (Gate, Option<String>)>;

impl<'a> Pass<'a> {
    /// A way back that somebody decided needs no steps, analysis or window. What people ended, or did not approve in time, ends. Everything else
    /// waits for a spec that can be followed: nothing is refused for a mistake in it.
    pub(super) fn as_the_spec_lets(&self, promotion: &Promotion, found: Looked<'a>) -> Looked<'a> {
        let Some(error) = &self.spec_error else {
            return found;
        };
        let uid = promotion.metadata.uid.as_ref();
        let mut ways = self.status.ways_back.iter();
        let decided = ways.any(|way| uid == Some(&way.promotion_uid));
        let ended = matches!(
            &found,
            Err((
                Gate::Over {
                    outcome: RolloutOutcome::Aborted,
                    ..
                },
                _
            ))
        );
        if ended || (decided && !self.is_workload_unknown()) {
            return found;
        }
        let (approvals, at, identity) = match found {
            Ok((_, _, prepared, approvals, _)) => (approvals, None, Some(prepared.candidate.identity)),
            Err((Gate::Waiting { approvals, at, .. }, identity)) => (approvals, at, identity),
            Err((_, identity)) => (Vec::new(), None, identity),
        };
        let gate = Gate::Waiting {
            reason: error.reason(),
            message: error.to_string(),
            approvals,
            at,
        };
        Err((gate, identity))
    }

    /// Whether the spec does not even say in which workloads releases run.
    fn is_workload_unknown(&self) -> bool {
        matches!(self.spec_error, Some(SpecError::AdoptedInPlace))
    }

    /// Why a rollout is not followed: steps that are invalid are not passed. A way back that somebody decided has none.
    pub(super) fn unfollowed(&self, rollout: &Rollout) -> Option<SpecError> {
        let back = self.is_decided_back(&rollout.promotion_uid, &rollout.identity);
        let goes_on = back && rollout.straight && !self.is_workload_unknown();
        self.spec_error.clone().filter(|_| !goes_on)
    }
}
