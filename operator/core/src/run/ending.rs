//! Runs that are ended before their stages are through: cancelled, out of time, deleted.

use dcanary_crds::{Ending, StageState};
use dcanary_types::record::{SkipReason, Transition};

use super::{machine::skip_text, step::Step};
use crate::{
    observed::{CreateAnswer, Creation},
    time::later,
};

impl Step<'_> {
    /// Notes why the run is being ended. The first reason stays, but deletion goes over all others.
    pub(super) fn note_ending(&mut self) {
        let refused = |creation: &Creation| creation.answer == CreateAnswer::NamespaceTerminating;
        let going = self.seen.namespace_terminating || self.seen.creations.iter().any(refused);
        if self.run.metadata.deletion_timestamp.is_some() || going {
            self.status.ending = Some(Ending::Deleted);
            return;
        }
        if self.status.ending.is_some() {
            return;
        }
        // before the stages are stopped for it: then nothing is open any more that could tell
        if self.finally_is_over() && self.status.stages.iter().any(|stage| !stage.state.ended()) {
            self.status.ending = Some(Ending::TimedOut);
        }
        if !self.main_is_open() {
            return;
        }
        let end = later(
            self.status.started_at.unwrap_or(self.now),
            self.definition.timeouts.run,
        );
        if self.run.spec.cancel {
            self.status.ending = Some(Ending::Cancelled);
        } else if self.now >= end {
            self.status.ending = Some(Ending::TimedOut);
        } else {
            self.wake_at(end);
        }
    }

    /// Whether a stage that is no `finally` stage has not ended.
    pub(super) fn main_is_open(&self) -> bool {
        self.status
            .stages
            .iter()
            .any(|stage| !stage.finally && !stage.state.ended())
    }

    /// The `finally` stages begin, and their time with them.
    pub(super) fn note_finally(&mut self) {
        let some = self.status.stages.iter().any(|stage| stage.finally);
        if some && self.status.finally_at.is_none() && !self.main_is_open() {
            self.status.finally_at = Some(self.now);
        }
        if let Some(at) = self.status.finally_at
            && self.status.stages.iter().any(|stage| !stage.state.ended())
        {
            let end = later(at, self.definition.timeouts.finally);
            if self.now < end {
                self.wake_at(end);
            } else if self.status.ending.is_none() {
                self.status.ending = Some(Ending::TimedOut);
            }
        }
    }

    /// Ends stages that are not under way. Attempts that are get their outcome with the others.
    pub(super) fn end_waiting_stages(&mut self) {
        for index in 0..self.status.stages.len() {
            let Some(reason) = self.stopping(index) else {
                continue;
            };
            let stage = &self.status.stages[index];
            let name = stage.name.clone();
            match stage.state {
                StageState::Pending => {
                    self.skip(index, SkipReason::Ended, "the run was ended before this stage");
                }
                StageState::Retrying => {
                    let cancelled = Transition::StageCancelled {
                        stage: name,
                        reason: reason.to_owned(),
                    };
                    if self.emit(cancelled) {
                        let now = self.now;
                        let stage = &mut self.status.stages[index];
                        stage.state = StageState::Cancelled;
                        reason.clone_into(&mut stage.reason);
                        stage.retry_at = None;
                        stage.finished_at = Some(now);
                    }
                }
                StageState::Running
                | StageState::Succeeded
                | StageState::Failed
                | StageState::Skipped
                | StageState::Cancelled => {}
            }
        }
    }

    /// A stage will not run.
    pub(super) fn skip(&mut self, index: usize, reason: SkipReason, message: &str) -> bool {
        let stage = self.status.stages[index].name.clone();
        if !self.emit(Transition::StageSkipped { stage, reason }) {
            return false;
        }
        let now = self.now;
        let stage = &mut self.status.stages[index];
        stage.state = StageState::Skipped;
        skip_text(reason).clone_into(&mut stage.reason);
        message.clone_into(&mut stage.message);
        stage.finished_at = Some(now);
        true
    }
}
