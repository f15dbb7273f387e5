//! Pods that are to go and still have requests: the time in which these end has not begun.
//!
//! A Service or route that is written late, or that somebody else writes, gives requests to a release that was left already. The clock alone
//! would take its Pods away from under them.

use dcanary_core::time::later;
use dcanary_crds::{Doing, RolloutOutcome};
use jiff::Timestamp;

use super::{pass::Pass, routing::SETTLE};
use crate::traffic;

impl Pass<'_> {
    /// Moves the time on at which the last request went to a release that was left, as long as one may go there. In steps, so that the status
    /// does not change with each look at it.
    pub(super) fn note_still_served(&mut self) {
        let mut until = None;
        for index in 0..self.status.history.len() {
            // releases in place have one workload between them: its Pods are those of the last of them
            let served = self.status.history.get(index).is_some_and(|left| {
                !self.is_named_before(index, &left.workload)
                    && traffic::leads_to(self.env, self.seen, &left.workload)
            });
            if let Some(deployed) = self.status.history.get_mut(index).filter(|_| served) {
                until = Some(moved_on(&mut deployed.until, self.now));
            }
        }
        let candidate = self.candidate_still_served();
        if let Some(rollout) = self.status.rollout.as_mut().filter(|_| candidate) {
            until = Some(moved_on(&mut rollout.since, self.now));
        }
        if let Some(until) = until {
            // by then it is looked at again; the one that leaves it may come at any time
            self.wake_at(later(until, 1));
        }
    }

    /// Whether somebody gives requests to a candidate that went back.
    fn candidate_still_served(&self) -> bool {
        let over = self.status.rollout.as_ref().filter(|rollout| {
            matches!(rollout.doing, Doing::AfterRollback | Doing::Ended)
                && rollout.outcome != Some(RolloutOutcome::Promoted)
        });
        over.is_some_and(|rollout| {
            !self.in_place()
                && self.is_no_earlier_ones(&rollout.workload)
                && traffic::is_given_requests(self.env, self.seen, &rollout.workload)
        })
    }
}

/// The last request may come until then.
fn moved_on(last: &mut Option<Timestamp>, now: Timestamp) -> Timestamp {
    match *last {
        Some(last) if now <= last => last,
        _ => {
            let until = later(now, SETTLE);
            *last = Some(until);
            until
        }
    }
}
