//! Attempts that are under way or have ended.
//!
//! ```text
//! learn ─▶ decide ─▶ settle (consequence: next state, retry) ─▶ confirm (kubelet, late reports: disputes)
//! ```

mod confirm;
mod consequence;

use dcanary_crds::{AttemptOutcome, AttemptStatus, StageState};

use super::{
    budget::{self, IMAGE_BYTES, RESULTS_TOO_LARGE},
    step::{Step, creation_of, forged_for, pod_of, uid_of},
};
use crate::{
    observed::CreateAnswer,
    outcome::{self, Decision, Situation, Verdict},
    plan::PlanError,
    pod, release,
    report::{self, Outcomes},
    text,
    time::later,
};

impl Step<'_> {
    /// Looks at every attempt.
    pub(super) fn look_at_attempts(&mut self) {
        for index in 0..self.status.stages.len() {
            let last = self.status.stages[index].attempts.len();
            if last > 0 && self.deploys(index) {
                self.look_at_promotion(index, last - 1);
                continue;
            }
            for attempt in 0..last {
                self.learn(index, attempt);
            }
            if last > 0 && self.status.stages[index].attempts[last - 1].outcome.is_none() {
                self.decide(index, last - 1);
            }
            for attempt in 0..last {
                self.confirm(index, attempt);
            }
        }
    }

    /// Facts that do not decide anything.
    fn learn(&mut self, index: usize, at: usize) {
        let attempt = &self.status.stages[index].attempts[at];
        let uid = uid_of(self.seen, self.owner, attempt).map(str::to_owned);
        let pod = pod_of(self.seen, self.owner, attempt);
        let started = pod.and_then(|pod| pod.started_at);
        let image = pod.and_then(|pod| pod.image_id.clone());
        let attempt = &mut self.status.stages[index].attempts[at];
        attempt.pod_uid = attempt.pod_uid.take().or(uid);
        attempt.started_at = attempt.started_at.or(started);
        if attempt.outcome.is_none() && image.is_some() {
            attempt.image = image.map(|image| text::cut(&image, IMAGE_BYTES));
        }
    }

    fn decide(&mut self, index: usize, at: usize) {
        let Some(stage) = self.definition.stages.get(index) else {
            return;
        };
        let attempt = self.status.stages[index].attempts[at].clone();
        let seen_report = self.report_of(attempt.pod_uid.as_deref());
        let pod = pod_of(self.seen, self.owner, &attempt);
        let unbuilt = self.cannot_be_built(index, &attempt);
        let verdict = outcome::decide(Situation {
            attempt: &attempt,
            pod,
            creation: forged_for(self.seen, self.owner, &attempt)
                .map(|_| &CreateAnswer::Foreign)
                .or_else(|| creation_of(self.seen, &attempt))
                .or(unbuilt.as_ref()),
            report: seen_report.and_then(|seen| Some((seen, seen.entry.report.as_ref()?))),
            stopping: self.stopping(index),
            timeout: stage.timeout(),
            pending: stage.pending_timeout(self.definition.timeouts),
            server_away_since: self.seen.server_away_since,
            reports_as_of: self.seen.reports_as_of,
            store_full_since: self.seen.store_full_since,
            now: self.now,
        });
        match verdict {
            Verdict::Undecided { waiting, wake } => {
                if let Some(wake) = wake {
                    self.wake_at(wake);
                }
                let attempt = &mut self.status.stages[index].attempts[at];
                match waiting {
                    // the text changes with every try of the kubelet
                    Some(waiting) if waiting.reason != attempt.reason => {
                        attempt.reason = waiting.reason;
                        attempt.message = waiting.message;
                    }
                    // what the creation waited for is over once there is a Pod
                    None if attempt.started_at.is_some()
                        || pod.is_some() && outcome::is_of_creation(&attempt.reason) =>
                    {
                        attempt.reason.clear();
                        attempt.message.clear();
                    }
                    _ => {}
                }
            }
            Verdict::Decided(decision) => self.settle(index, at, decision),
        }
    }

    /// Why the Pod of an attempt that has none cannot be made any more: the settings have changed since its stage was let begin.
    fn cannot_be_built(&self, index: usize, attempt: &AttemptStatus) -> Option<CreateAnswer> {
        if uid_of(self.seen, self.owner, attempt).is_some() || creation_of(self.seen, attempt).is_some() {
            return None;
        }
        match pod::pod(self.subject(index, attempt.number), &self.seen.settings).err()? {
            PlanError::Missing { message, .. } => Some(CreateAnswer::Refused {
                reason: "PlanIncomplete".to_owned(),
                message,
            }),
            PlanError::Refused { reason, message } => Some(CreateAnswer::Refused {
                reason: reason.to_owned(),
                message,
            }),
        }
    }

    /// Writes down how an attempt ended and what follows for its stage.
    pub(super) fn settle(&mut self, index: usize, at: usize, mut decision: Decision) {
        // before anything is trimmed for it: what cannot be recorded now is decided later
        if !self.has_room(1) {
            return;
        }
        let attempt = &self.status.stages[index].attempts[at];
        let seen_report = self
            .report_of(attempt.pod_uid.as_deref())
            .filter(|_| decision.by_report);
        let final_report = seen_report.and_then(|seen| seen.entry.report.as_ref());
        let mut made = Outcomes::default();
        if let (AttemptOutcome::Succeeded, Some(report)) = (decision.outcome, final_report) {
            let (inline, total) = self.results_so_far();
            match report::outcomes(report, inline, total, &self.seen.settings.limits) {
                Ok(outcomes) => made = outcomes,
                Err(message) => {
                    decision.outcome = AttemptOutcome::Failed;
                    "ReportInvalid".clone_into(&mut decision.reason);
                    decision.message = text::cut(&format!("the report cannot be used: {message}"), 1024);
                }
            }
        }
        if decision.outcome == AttemptOutcome::Succeeded
            && let Some(asked) = &attempt.promotion
        {
            made.results = release::results(asked);
        }
        let made_bytes = budget::bytes(&made.results) + budget::bytes(&made.artifacts);
        if made != Outcomes::default() && !self.take_room(made_bytes + 64) {
            made = Outcomes::default();
            decision.outcome = AttemptOutcome::Failed;
            RESULTS_TOO_LARGE.clone_into(&mut decision.reason);
            decision.message = format!(
                "its results and artifacts take {made_bytes} bytes and do not fit into the run's status of 512 KiB: use fewer or shorter ones"
            );
        }
        let Some((transition, state, pause)) = self.consequence(index, at, &mut decision, &made) else {
            return;
        };
        if !self.emit(transition) {
            return;
        }
        let steps = final_report.map(report::steps);
        let now = self.now;
        let stage = &mut self.status.stages[index];
        let attempt = &mut stage.attempts[at];
        attempt.outcome = Some(decision.outcome);
        attempt.finished_at = Some(now);
        attempt.reason.clone_from(&decision.reason);
        attempt.message.clone_from(&decision.message);
        attempt.report = seen_report.and_then(|seen| i64::try_from(seen.entry.cursor).ok());
        attempt.steps = steps.unwrap_or_default();
        stage.state = state;
        stage.reason = if state == StageState::Succeeded {
            String::new()
        } else {
            decision.reason
        };
        stage.message = if state == StageState::Succeeded {
            String::new()
        } else {
            decision.message
        };
        stage.retry_at = pause.map(|pause| later(now, pause));
        if state.ended() {
            stage.finished_at = Some(now);
        }
        stage.results = made.results;
        stage.artifacts = made.artifacts;
        let (name, reason, message) = (stage.name.clone(), stage.reason.clone(), stage.message.clone());
        if matches!(state, StageState::Failed | StageState::Retrying) {
            let what = if state == StageState::Failed {
                "StageFailed"
            } else {
                "StageRetried"
            };
            self.tell(
                true,
                what,
                &format!("stage {name}, attempt {}: {reason} {message}", at + 1),
            );
        }
    }
}
