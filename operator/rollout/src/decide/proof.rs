//! Weights that requests have to show (`route.verify`): what waits for that, and how long.
//!
//! Forward, nothing counts before requests have shown it, and at the deadline it goes back. Going back never waits for it: requests move by what
//! the gateway says, and Pods stay for at most [`BACK`] more until requests have shown that none goes to them.

use dcanary_core::time::later;
use dcanary_crds::{Doing, Rollout, RolloutOutcome};
use jiff::Timestamp;

use super::pass::Pass;
use crate::{
    plan::Effect,
    traffic::{InForce, Proof},
};

/// Seconds for which Pods that went back, and a release that returns, wait for requests to show what the gateway says.
const BACK: u64 = 30;
/// Seconds after which a gateway that has not shown it is asked again.
const AGAIN: u64 = 1;
/// What is said meanwhile.
const UNVERIFIED: &str = "RouteUnverified";

impl Pass<'_> {
    /// What requests are to prove now.
    pub(super) fn proof(&self) -> Proof {
        let Some(rollout) = &self.status.rollout else {
            return Proof::Off;
        };
        match rollout.doing {
            // there is nothing to share with
            _ if self.status.stable.is_none() => Proof::Off,
            Doing::Waiting | Doing::PreDeploy => Proof::Off,
            Doing::RollingBack | Doing::AfterRollback => Proof::Asked,
            Doing::Ended if self.awaits_proof() => Proof::Asked,
            Doing::Ended if self.settled_at().is_some_and(|at| self.now < at) => Proof::Asked,
            Doing::Ended => Proof::Off,
            // the way out of a rollback that waits
            Doing::Promoting | Doing::Verifying if self.status.relieved.is_some() => Proof::Off,
            _ if self.relieves() => Proof::Off,
            // back to what was there before
            _ if rollout.straight && proven_by(rollout).is_some_and(|at| self.now >= at) => Proof::Asked,
            Doing::Starting | Doing::Stepping | Doing::Promoting | Doing::Verifying => Proof::Needed,
        }
    }

    /// Whether Pods of a candidate that went back wait for requests to show that none goes to them.
    pub(super) fn awaits_proof(&self) -> bool {
        self.status.rollout.as_ref().is_some_and(|rollout| {
            let over = matches!(rollout.doing, Doing::AfterRollback | Doing::Ended);
            over && rollout.outcome != Some(RolloutOutcome::Promoted) && rollout.unverified_since.is_some()
        })
    }

    /// When the last requests to the Pods of a candidate that went back have had time to end, as far as is known by now.
    pub(super) fn emptied(&self, rollout: &Rollout) -> Option<Timestamp> {
        let empty = proven_by(rollout).or(rollout.since)?;
        Some(later(empty, self.drain()))
    }

    /// Whether the gateway says that the route is in force and requests have not shown it yet.
    pub(super) fn is_unverified(&self) -> bool {
        self.split().is_some_and(|split| split.unverified.is_some())
    }

    /// Says what requests show, and goes back at the deadline.
    pub(super) fn wait_for_proof(&mut self, shown: &str) {
        self.say(UNVERIFIED, shown);
        let Some(rollout) = &self.status.rollout else {
            return;
        };
        let (straight, end) = (rollout.straight, proven_by(rollout));
        // missing Pods have their own deadline
        let since = rollout
            .unverified_since
            .filter(|_| rollout.unready_since.is_none());
        if let Some(end) = end.filter(|_| straight) {
            self.reached(end);
        } else if let Some(since) = since {
            let deadline = self.deadline();
            if self.reached(later(since, deadline)) {
                let message = format!(
                    "for {deadline} s no request has shown that the gateway has the new weights: {shown}"
                );
                self.turn_back(RolloutOutcome::RolledBack, "ProgressDeadlineExceeded", &message);
            }
        }
    }

    /// Keeps in mind since when the gateway says what requests have not shown yet: after the effects on the route, which are those of what was known.
    pub(super) fn note_unverified(&mut self) {
        let split = (self.proof() != Proof::Off).then(|| self.split()).flatten();
        let (over, now) = (self.awaits_proof(), self.now);
        let Some(rollout) = &mut self.status.rollout else {
            return;
        };
        let unverified = split.as_ref().is_some_and(|split| split.unverified.is_some());
        let in_force = split.is_none_or(|split| split.in_force == InForce::Yes);
        if over {
            let end = proven_by(rollout);
            if (in_force && !unverified) || end.is_some_and(|end| now >= end) {
                rollout.unverified_since = None;
                rollout.since = Some(now);
            } else if let Some(end) = end {
                self.reached(end);
            }
        } else if matches!(rollout.doing, Doing::AfterRollback | Doing::Ended) {
            rollout.unverified_since = None;
        } else if unverified {
            rollout.unverified_since.get_or_insert(now);
        } else {
            rollout.unverified_since = None;
        }
    }

    /// A gateway is asked again after a pause.
    pub(super) fn ask_in_time(&mut self, effects: &mut Vec<Effect>) {
        let Some(check) = &self.seen.check else { return };
        let again = |effect: &Effect| matches!(effect, Effect::Verify(verify) if verify.token == check.token);
        let at = later(check.at, AGAIN);
        if effects.iter().any(again) && !self.reached(at) {
            effects.retain(|effect| !again(effect));
        }
    }
}

/// When it is believed without.
fn proven_by(rollout: &Rollout) -> Option<Timestamp> {
    rollout.unverified_since.map(|since| later(since, BACK))
}
