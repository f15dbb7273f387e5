//! Attempts that are under way or have ended: outcomes, retries, disputes.

use dcanary_crds::{AttemptOutcome, RetryOn, StageState};
use dcanary_protocol::report::Outcome as Reported;
use dcanary_types::{
    limits::MAX_BODY_BYTES,
    record::{Artifact, Record, Transition},
};

use super::step::{Step, creation_of, pod_of, uid_of};
use crate::{
    definition::LOST_RETRIES,
    outcome::{self, Decision, Situation, Verdict},
    report::{self, Outcomes},
    text,
    time::later,
};

/// First pause after a lost attempt, in seconds; four times as long after the second.
const LOST_PAUSE: u64 = 5;
/// First pause of a stage that names none, in seconds.
const RETRY_PAUSE: u64 = 5;
/// Longest pause, in seconds.
const MAX_PAUSE: u64 = 600;

impl Step<'_> {
    /// Looks at every attempt.
    pub(super) fn look_at_attempts(&mut self) {
        for index in 0..self.status.stages.len() {
            let last = self.status.stages[index].attempts.len();
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
        let uid = uid_of(self.seen, self.uid, attempt).map(str::to_owned);
        let pod = pod_of(self.seen, self.uid, attempt);
        let started = pod.and_then(|pod| pod.started_at);
        let image = pod.and_then(|pod| pod.image_id.clone());
        let attempt = &mut self.status.stages[index].attempts[at];
        attempt.pod_uid = attempt.pod_uid.take().or(uid);
        attempt.started_at = attempt.started_at.or(started);
        if attempt.outcome.is_none() && image.is_some() {
            attempt.image = image.map(|image| text::cut(&image, 1024));
        }
    }

    fn decide(&mut self, index: usize, at: usize) {
        let Some(stage) = self.definition.stages.get(index) else {
            return;
        };
        let attempt = self.status.stages[index].attempts[at].clone();
        let seen_report = self.report_of(attempt.pod_uid.as_deref());
        let verdict = outcome::decide(Situation {
            attempt: &attempt,
            pod: pod_of(self.seen, self.uid, &attempt),
            creation: creation_of(self.seen, &attempt),
            report: seen_report.and_then(|seen| Some((seen, seen.entry.report.as_ref()?))),
            stopping: self.stopping(index),
            timeout: stage.timeout(),
            pending: stage.pending_timeout(self.definition.timeouts),
            server_away_since: self.seen.server_away_since,
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
                    None if attempt.started_at.is_some() => {
                        attempt.reason.clear();
                        attempt.message.clear();
                    }
                    _ => {}
                }
            }
            Verdict::Decided(decision) => self.settle(index, at, decision),
        }
    }

    /// Writes down how an attempt ended and what follows for its stage.
    fn settle(&mut self, index: usize, at: usize, mut decision: Decision) {
        let attempt = &self.status.stages[index].attempts[at];
        let seen_report = self
            .report_of(attempt.pod_uid.as_deref())
            .filter(|_| decision.by_report);
        let final_report = seen_report.and_then(|seen| seen.entry.report.as_ref());
        let mut made = Outcomes::default();
        if let (AttemptOutcome::Succeeded, Some(report)) = (decision.outcome, final_report) {
            let (inline, total) = self.results_so_far();
            match report::outcomes(report, inline, total) {
                Ok(outcomes) => made = outcomes,
                Err(message) => {
                    decision.outcome = AttemptOutcome::Failed;
                    "ReportInvalid".clone_into(&mut decision.reason);
                    decision.message = text::cut(&format!("the report cannot be used: {message}"), 1024);
                }
            }
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

    /// The record, the stage's next state, and the pause before the next attempt.
    fn consequence(
        &self,
        index: usize,
        at: usize,
        decision: &mut Decision,
        made: &Outcomes,
    ) -> Option<(Transition, StageState, Option<u64>)> {
        let stage = self.status.stages[index].name.clone();
        let attempt = at as u64 + 1;
        let reason = decision.reason.clone();
        if let (AttemptOutcome::Lost, Some(stopping)) = (decision.outcome, self.stopping(index)) {
            decision.outcome = AttemptOutcome::Cancelled;
            stopping.clone_into(&mut decision.reason);
        }
        Some(match decision.outcome {
            AttemptOutcome::Succeeded => (self.success(stage, attempt, made), StageState::Succeeded, None),
            AttemptOutcome::Cancelled => {
                let reason = decision.reason.clone();
                (
                    Transition::StageCancelled { stage, reason },
                    StageState::Cancelled,
                    None,
                )
            }
            outcome => match self.retry_pause(index, outcome, &reason) {
                Some(pause) => (
                    Transition::StageRetried {
                        stage,
                        attempt,
                        reason,
                    },
                    StageState::Retrying,
                    Some(pause),
                ),
                None => (
                    Transition::StageFailed {
                        stage,
                        attempt,
                        reason,
                    },
                    StageState::Failed,
                    None,
                ),
            },
        })
    }

    fn success(&self, stage: String, attempt: u64, made: &Outcomes) -> Transition {
        let document = report::outputs(made);
        let outputs = document.digest();
        let artifacts: Vec<Artifact> = document.artifacts().cloned().collect();
        let with = |artifacts| Transition::StageSucceeded {
            stage: stage.clone(),
            attempt,
            outputs,
            artifacts,
        };
        if artifacts.is_empty() {
            return with(None);
        }
        let full = with(Some(artifacts));
        let record = Record {
            run: self.uid.to_owned(),
            n: u64::MAX,
            claimed_ts: 0,
            transition: full.clone(),
        };
        if record.encode_body().len() <= MAX_BODY_BYTES {
            full
        } else {
            with(None)
        }
    }

    /// The pause before another attempt, if there is to be one.
    fn retry_pause(&self, index: usize, outcome: AttemptOutcome, reason: &str) -> Option<u64> {
        let stage = self.definition.stages.get(index)?;
        if self.stopping(index).is_some() {
            return None;
        }
        // the one that is being decided has no outcome yet, so these are the ones before it
        let before = |lost: bool| {
            let attempts = self.status.stages[index].attempts.iter();
            attempts
                .filter(|attempt| {
                    attempt
                        .outcome
                        .is_some_and(|outcome| (outcome == AttemptOutcome::Lost) == lost)
                })
                .count()
        };
        match outcome {
            AttemptOutcome::Lost => {
                let lost = before(true);
                (lost < LOST_RETRIES).then(|| LOST_PAUSE << (2 * lost))
            }
            AttemptOutcome::Failed | AttemptOutcome::TimedOut => {
                let retries = stage.stage.retries.as_ref()?;
                let kind = match (outcome, reason) {
                    (AttemptOutcome::TimedOut, _) => RetryOn::TimedOut,
                    (_, "OutOfMemory") => RetryOn::OutOfMemory,
                    _ => RetryOn::Failed,
                };
                let listed = if retries.on.is_empty() {
                    kind != RetryOn::OutOfMemory
                } else {
                    retries.on.contains(&kind)
                };
                let failed = before(false);
                let first = retries
                    .backoff
                    .map_or(RETRY_PAUSE, dcanary_crds::Duration::as_secs);
                let pause = first.saturating_mul(1 << failed.min(10)).min(MAX_PAUSE);
                (listed && failed < stage.user_retries()).then_some(pause)
            }
            AttemptOutcome::Succeeded | AttemptOutcome::Refused | AttemptOutcome::Cancelled => None,
        }
    }

    /// Bytes of results by value, and of all results.
    fn results_so_far(&self) -> (usize, u64) {
        let results = self.status.stages.iter().flat_map(|stage| &stage.results);
        results.fold((0, 0), |(inline, total), result| {
            let value = result.value.as_ref().map_or(0, String::len);
            (
                inline + value,
                total.saturating_add(u64::try_from(result.size).unwrap_or_default()),
            )
        })
    }

    /// Compares an ended attempt with what the kubelet saw and with what was reported later.
    fn confirm(&mut self, index: usize, at: usize) {
        let attempt = &self.status.stages[index].attempts[at];
        let uid = attempt.pod_uid.as_deref();
        let traded = uid.is_some()
            && self.seen.reports.iter().any(|report| {
                let entry = &report.entry;
                let told =
                    entry.second_trade || entry.report.as_ref().is_some_and(|report| report.second_trade);
                told && Some(entry.attempt.as_str()) == uid && !self.hidden.contains(&entry.cursor)
            });
        if traded {
            self.dispute(index, at, "SecondTrade", "the token was traded a second time");
        }
        let attempt = &self.status.stages[index].attempts[at];
        let Some(outcome) = attempt.outcome else { return };
        let report = self
            .report_of(attempt.pod_uid.as_deref())
            .and_then(|seen| seen.entry.report.as_ref());
        let late = attempt.report.is_none()
            && report
                .and_then(|report| expected(report.outcome))
                .is_some_and(|told| told != outcome);
        let code = pod_of(self.seen, self.uid, attempt)
            .and_then(|pod| pod.ended.as_ref())
            .and_then(|ended| ended.exit_code);
        let code = attempt.exit_code.or(code);
        let agrees = code.map(|code| attempt.report.is_some() && self.exit_agrees(index, at, code));
        let by_report = attempt.report.is_some();
        let missing = attempt.reason == "ReportMissing" && !by_report;
        if let (true, Some(false)) = (by_report, agrees) {
            self.dispute(
                index,
                at,
                "OutcomeDisputed",
                "the kubelet saw another end than the runner reported",
            );
        }
        if late && outcome != AttemptOutcome::Cancelled {
            self.dispute(
                index,
                at,
                "LateReport",
                "the runner's report came after the outcome was decided, and says something else",
            );
        }
        if missing {
            self.dispute(
                index,
                at,
                "OutcomeDisputed",
                "the container exited with 0 and there is no report",
            );
        }
        let attempt = &mut self.status.stages[index].attempts[at];
        attempt.exit_code = code;
        attempt.confirmed = agrees == Some(true);
    }

    /// Whether an exit code fits the report on which an outcome rests.
    fn exit_agrees(&self, index: usize, at: usize, code: i32) -> bool {
        let attempt = &self.status.stages[index].attempts[at];
        let report = self
            .report_of(attempt.pod_uid.as_deref())
            .and_then(|seen| seen.entry.report.as_ref());
        if let Some(report) = report {
            return report::agrees(report.outcome, code);
        }
        // the report was acknowledged; what it said is in the outcome
        let reported: &[Reported] = match attempt.outcome {
            Some(AttemptOutcome::Succeeded) => &[Reported::Succeeded],
            Some(AttemptOutcome::Failed) if attempt.reason == "ReportInvalid" => &[Reported::Succeeded],
            Some(AttemptOutcome::Failed) => &[Reported::Failed],
            Some(AttemptOutcome::TimedOut) => &[Reported::TimedOut],
            Some(AttemptOutcome::Lost | AttemptOutcome::Cancelled) => &[Reported::Cancelled, Reported::Error],
            Some(AttemptOutcome::Refused) | None => &[],
        };
        reported.iter().any(|reported| report::agrees(*reported, code))
    }

    fn dispute(&mut self, index: usize, at: usize, reason: &str, note: &str) {
        let stage = self.status.stages[index].name.clone();
        if self.status.stages[index].attempts[at].disputed.is_some() {
            return;
        }
        let attempt = at as u64 + 1;
        if self.emit(Transition::StageDisputed {
            stage: stage.clone(),
            attempt,
            reason: reason.to_owned(),
        }) {
            self.status.stages[index].attempts[at].disputed = Some(reason.to_owned());
            self.tell(
                true,
                reason,
                &format!("stage {stage}, attempt {attempt}: {note}; no gate opens on it"),
            );
        }
    }
}

/// The outcome that a report leads to when it comes in time.
fn expected(outcome: dcanary_protocol::report::Outcome) -> Option<AttemptOutcome> {
    use dcanary_protocol::report::Outcome as Reported;
    match outcome {
        Reported::Succeeded => Some(AttemptOutcome::Succeeded),
        Reported::Failed => Some(AttemptOutcome::Failed),
        Reported::TimedOut => Some(AttemptOutcome::TimedOut),
        Reported::Error => Some(AttemptOutcome::Lost),
        // a SIGTERM of ours after the decision
        Reported::Cancelled => None,
    }
}
