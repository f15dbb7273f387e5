//! `spec.analysis` under blueGreen. Before the switch the release has no requests, so it is measured from the switch on, until there is
//! enough to tell.

use dcanary_crds::{Rollout, Verdict};

use super::{
    held_up::{Overdue, STORING},
    pass::Pass,
};
use crate::analysis::{self, BACKGROUND};

impl Pass<'_> {
    /// Whether the background analysis begins with the switch.
    pub(super) fn is_watched_after_switch(&self, rollout: &Rollout) -> bool {
        let spec = &self.env.spec;
        spec.analysis.is_some() && spec.strategy.blue_green.is_some() && !self.is_straight(rollout)
    }

    /// Whether the background analysis has seen enough since the switch for the rollout to go on.
    pub(super) fn watched_enough(&mut self, rollout: &Rollout) -> bool {
        if !self.is_watched_after_switch(rollout) {
            return true;
        }
        match self.verdict(BACKGROUND) {
            None if self.is_unmeasured(BACKGROUND) => false,
            None if self.has_enough_samples() => true,
            None => {
                self.say(
                    "Analysis",
                    "the analysis of the rollout is measuring since the switch",
                );
                false
            }
            Some((verdict, message)) => self.decided_after_switch(verdict, &message),
        }
    }

    /// Everything else after the switch is over: the background analysis ends. Whether the release may be promoted.
    pub(super) fn conclude_after_switch(&mut self, rollout: &Rollout) -> bool {
        if !self.is_watched_after_switch(rollout) {
            return true;
        }
        self.conclude_background();
        let Some((verdict, message)) = self.verdict(BACKGROUND) else {
            self.is_unmeasured(BACKGROUND);
            return false;
        };
        self.decided_after_switch(verdict, &message)
    }

    fn decided_after_switch(&mut self, verdict: Verdict, message: &str) -> bool {
        match verdict {
            // it has turned back
            Verdict::Failed => return false,
            Verdict::Inconclusive if !self.is_accepted(BACKGROUND) => {
                self.ask(message);
                return false;
            }
            Verdict::Inconclusive | Verdict::Passed => {}
        }
        let kept = self.evidence_is_kept(BACKGROUND);
        if !kept {
            self.await_store(STORING.to_owned(), Overdue::Stays);
        }
        kept
    }

    fn has_enough_samples(&self) -> bool {
        let metrics = self
            .analysis(BACKGROUND)
            .and_then(|analysis| analysis::metrics(&analysis, self.seen).ok());
        let rollout = self.status.rollout.as_ref();
        let status = rollout.and_then(|rollout| rollout.analyses.iter().find(|one| one.name == BACKGROUND));
        let both = metrics.zip(status);
        both.is_some_and(|(metrics, status)| analysis::enough(status, &metrics))
    }
}
