//! A pause that a person made holds everything that can be held. What goes back is not held, nor what has failed.

use dcanary_crds::{Doing, Rollout, Verdict};

use super::{effects::writes, pass::Pass, steps::POST_PROMOTION};
use crate::{plan::Effect, render};

impl Pass<'_> {
    /// Whether a person paused it; then it says so.
    pub(super) fn is_paused(&mut self, rollout: &Rollout) -> bool {
        if rollout.paused_by.is_none() {
            return false;
        }
        let until = rollout
            .paused_until
            .map_or_else(String::new, |until| format!(" until {until}"));
        self.say(
            "Paused",
            format!("a person paused it{until}; go on with `dcanary resume`"),
        );
        true
    }

    /// Whether a person paused it where there are no steps: before them, and after the switch. Time in which it is held is no time in which its
    /// Pods failed to become ready: that begins again with the resume.
    pub(super) fn is_paused_beside_steps(&mut self) -> bool {
        let Some(rollout) = self.active().cloned() else {
            return false;
        };
        match rollout.doing {
            Doing::Waiting | Doing::PreDeploy | Doing::Starting => self.is_paused(&rollout),
            Doing::Verifying => {
                let failed = self
                    .verdict(POST_PROMOTION)
                    .is_some_and(|(verdict, _)| verdict == Verdict::Failed);
                !failed && self.is_paused(&rollout)
            }
            _ => false,
        }
    }

    /// What is done of a workload in place while a person holds the rollout: no further Pod is replaced.
    pub(super) fn halted_in_place(&self, rollout: &Rollout) -> Option<Vec<Effect>> {
        rollout.paused_by.as_ref()?;
        let begun = self.carries(&rollout.workload, &rollout.identity);
        Some(writes(
            begun.then(|| render::halted(self.env, self.seen)).flatten(),
        ))
    }
}
