//! Waiting on the way forward for something outside of the rollout: a gateway, a write that is refused, the artifact store. No longer than the
//! deadline, which counts from when it was first waited for.

use dcanary_core::time::later;
use dcanary_crds::{Doing, RolloutOutcome};

use super::pass::Pass;

/// What is said while the artifact store has not taken the evidence of an analysis with all requests.
pub(super) const STORING: &str = "the evidence of the analysis is being stored";

/// What becomes of a rollout that has waited for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overdue {
    /// It goes back.
    GoesBack,
    /// It stays, and says that it is stalled: its release has the requests already, and nothing is wrong with it.
    Stays,
}

impl Pass<'_> {
    /// Says what it waits for, and does what is due at the deadline. Pods that it has lost, and people who paused it, have a time of their own.
    pub(super) fn await_outside(&mut self, reason: &str, message: String, overdue: Overdue) {
        let deadline = self.deadline();
        let noted = self.held_up_since.take();
        let Some(rollout) = &mut self.status.rollout else {
            return;
        };
        let others = rollout.unready_since.is_some() || rollout.paused_by.is_some();
        if others {
            self.say(reason, message);
            return;
        }
        let since = noted.or(rollout.held_up_since).unwrap_or(self.now);
        rollout.held_up_since = Some(since);
        if !self.reached(later(since, deadline)) {
            self.say(reason, message);
            return;
        }
        if overdue == Overdue::GoesBack {
            let message = format!("for {deadline} s it did not come on: {reason}: {message}");
            self.turn_back(RolloutOutcome::RolledBack, "ProgressDeadlineExceeded", &message);
            return;
        }
        let promotion = self.status.rollout.as_ref().map(|rollout| &rollout.promotion);
        let message = format!(
            "{message}; for {deadline} s it did not come on: put that right, and it goes on by itself, or end it with `dcanary abort {}`",
            promotion.map_or("", String::as_str)
        );
        self.say(reason, message.clone());
        self.stuck = Some((reason.to_owned(), message));
    }

    /// The same for what keeps requests from going where they should. The first release of all has nothing to go back to: without it nobody would
    /// be served, whatever its gateway says. One that had all requests already is not at fault when its gateway is away later.
    pub(super) fn await_route(&mut self, reason: &str, message: String) {
        let switched = self
            .active()
            .is_some_and(|rollout| rollout.doing == Doing::Verifying);
        let overdue = if self.status.stable.is_some() && !switched {
            Overdue::GoesBack
        } else {
            Overdue::Stays
        };
        self.await_outside(reason, message, overdue);
    }

    /// The same for the evidence of an analysis.
    pub(super) fn await_store(&mut self, message: String, overdue: Overdue) {
        self.await_outside("StoringEvidence", message, overdue);
    }
}
