//! The end of a run, and what its conditions say on the way.

use dcanary_crds::{Ending, StageState};
use dcanary_types::record::{Outcome, Transition};

use super::{
    budget::STATUS_FULL,
    step::{Step, pod_of},
};
use crate::{text::cut, time::later};

/// How long the kubelet's view of a reported attempt is waited for, in seconds.
pub(super) const CONFIRM: u64 = 10;

impl Step<'_> {
    /// Ends the run when all stages have ended and no Pod of it runs any more.
    pub(super) fn finish(&mut self) {
        if self.status.finished_at.is_some() || !self.machine.all_ended() || self.waits_for_the_end() {
            return;
        }
        let outcome = match self.status.ending {
            Some(Ending::Cancelled | Ending::Deleted) => Outcome::Cancelled,
            Some(Ending::TimedOut) => Outcome::TimedOut,
            None => self.machine.verdict(),
        };
        if self.emit(Transition::RunFinished { outcome }) {
            self.status.finished_at = Some(self.now);
            let (reason, message) = self.end_text(outcome);
            self.tell(outcome != Outcome::Succeeded, reason, &message);
        }
    }

    /// Disagreement can be recorded only before the end, so the end waits for the kubelet, but not for ever.
    fn waits_for_the_end(&mut self) -> bool {
        let attempts = self.status.stages.iter().flat_map(|stage| &stage.attempts);
        let until = attempts
            .filter_map(|attempt| {
                if attempt.report.is_none() {
                    return self.still_running(attempt);
                }
                pod_of(self.seen, self.owner, attempt).filter(|pod| pod.is_live())?;
                let end = later(attempt.finished_at.unwrap_or(self.now), CONFIRM);
                (self.now < end).then_some(end)
            })
            .max();
        if let Some(until) = until {
            self.wake_at(until);
        }
        until.is_some()
    }

    /// How the run ended, as its conditions say it.
    pub(super) fn outcome(&self) -> Outcome {
        match self.status.ending {
            Some(Ending::Cancelled | Ending::Deleted) => Outcome::Cancelled,
            Some(Ending::TimedOut) => Outcome::TimedOut,
            None => self.machine.verdict(),
        }
    }

    /// Reason and message of an end.
    pub(super) fn end_text(&self, outcome: Outcome) -> (&'static str, String) {
        let counts = self.counts();
        match outcome {
            Outcome::Succeeded => ("Succeeded", counts),
            Outcome::Failed => {
                let failed = self.status.stages.iter().filter(|stage| {
                    stage.state == StageState::Failed && !stage.optional || stage.reason == STATUS_FULL
                });
                let named: Vec<String> = failed
                    .map(|stage| format!("{} ({})", stage.name, stage.reason))
                    .collect();
                ("Failed", format!("{counts}; failed: {}", named.join(", ")))
            }
            Outcome::Cancelled if self.status.ending == Some(Ending::Deleted) => ("Deleted", counts),
            Outcome::Cancelled => ("Cancelled", counts),
            Outcome::TimedOut => ("TimedOut", counts),
        }
    }

    /// Reason and message of an active run.
    pub(super) fn active_text(&self) -> (&'static str, String) {
        let reason = match self.status.ending {
            Some(Ending::Cancelled) => "Cancelling",
            Some(Ending::TimedOut) => "TimingOut",
            Some(Ending::Deleted) => "Deleting",
            None => "Running",
        };
        let mut text = self.counts();
        if self.run.spec.cancel && self.finally_goes_on() {
            // our short name: Tekton has `pipelinerun` as well
            let meta = &self.run.metadata;
            text.push_str(&format!(
                "; cancelled, but `finally` stages are run to their end: `kubectl delete dpr {} -n {}` stops them too",
                meta.name.as_deref().unwrap_or_default(),
                meta.namespace.as_deref().unwrap_or_default(),
            ));
        }
        if let Some(why) = self.waits().or_else(|| self.waits_for_server()) {
            text.push_str("; ");
            text.push_str(&why);
        }
        (reason, text)
    }

    /// Whether only `finally` stages are left, and their time is not over.
    fn finally_goes_on(&self) -> bool {
        self.status.finally_at.is_some()
            && matches!(self.status.ending, None | Some(Ending::Cancelled))
            && !self.main_is_open()
    }

    /// What the first attempt that is under way waits for, if it waits for something.
    fn waits(&self) -> Option<String> {
        self.status
            .stages
            .iter()
            .filter(|stage| stage.state == StageState::Running)
            .find_map(|stage| {
                let open = stage
                    .attempts
                    .last()
                    .filter(|attempt| attempt.outcome.is_none())?;
                let said = [open.reason.as_str(), open.message.as_str()];
                let said: Vec<&str> = said.into_iter().filter(|text| !text.is_empty()).collect();
                let why = format!("stage {} waits: {}", stage.name, said.join(": "));
                (!said.is_empty()).then(|| cut(&why, 512))
            })
    }

    fn waits_for_server(&self) -> Option<String> {
        let show = self.held_up_since()?;
        (self.now >= show).then(|| {
            "stages wait: ServerUnavailable: the server does not answer, so none begins until it does"
                .to_owned()
        })
    }

    fn counts(&self) -> String {
        let count = |state| {
            self.status
                .stages
                .iter()
                .filter(|stage| stage.state == state)
                .count()
        };
        let words = [
            (StageState::Succeeded, "succeeded"),
            (StageState::Failed, "failed"),
            (StageState::Skipped, "skipped"),
            (StageState::Cancelled, "cancelled"),
            (StageState::Running, "running"),
            (StageState::Retrying, "waiting to be repeated"),
            (StageState::Pending, "pending"),
        ];
        let parts = words
            .into_iter()
            .map(|(state, word)| (count(state), word))
            .filter(|(n, _)| *n > 0);
        parts
            .map(|(n, word)| format!("{n} {word}"))
            .collect::<Vec<_>>()
            .join(", ")
    }

    /// Ended stages and all stages.
    pub(super) fn progress(&self) -> String {
        let ended = self
            .status
            .stages
            .iter()
            .filter(|stage| stage.state.ended())
            .count();
        format!("{ended}/{}", self.status.stages.len())
    }
}
