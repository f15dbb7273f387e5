//! What follows from the outcome of an attempt: its record, the stage's next state, another attempt.

use dcanary_crds::{AttemptOutcome, RetryOutcome, StageState};
use dcanary_types::{
    limits::MAX_BODY_BYTES,
    record::{Artifact, Record, Transition},
};

use crate::{
    definition::LOST_RETRIES,
    outcome::Decision,
    report::{self, Outcomes},
    run::{budget, step::Step},
    text,
};

/// First pause after a lost attempt, in seconds; four times as long after the second.
const LOST_PAUSE: u64 = 5;
/// First pause of a stage that names none, in seconds.
const RETRY_PAUSE: u64 = 5;
/// Longest pause, in seconds.
const MAX_PAUSE: u64 = 600;

impl Step<'_> {
    /// The record, the stage's next state, and the pause before the next attempt.
    pub(super) fn consequence(
        &mut self,
        index: usize,
        at: usize,
        decision: &mut Decision,
        made: &Outcomes,
    ) -> Option<(Transition, StageState, Option<u64>)> {
        let stage = self.status.stages[index].name.clone();
        let attempt = at as u64 + 1;
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
            outcome => {
                let pause = self.retry_pause(index, outcome, &decision.reason);
                let pause = pause.filter(|_| self.has_room_for_another(decision));
                let reason = decision.reason.clone();
                match pause {
                    Some(_) => (
                        Transition::StageRetried {
                            stage,
                            attempt,
                            reason,
                        },
                        StageState::Retrying,
                        pause,
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
                }
            }
        })
    }

    /// Whether the status has room for a further attempt; says so when it has not.
    fn has_room_for_another(&mut self, decision: &mut Decision) -> bool {
        let fits = self.take_room(budget::ATTEMPT_BYTES);
        if !fits {
            let why = format!(
                "{} {}; there is no room for another attempt in the run's status of 512 KiB",
                decision.reason, decision.message
            );
            decision.message = text::cut(&why, 1024);
            budget::STATUS_FULL.clone_into(&mut decision.reason);
        }
        fits
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
                    (AttemptOutcome::TimedOut, _) => RetryOutcome::TimedOut,
                    (_, "OutOfMemory") => RetryOutcome::OutOfMemory,
                    _ => RetryOutcome::Failed,
                };
                let listed = if retries.outcomes.is_empty() {
                    kind != RetryOutcome::OutOfMemory
                } else {
                    retries.outcomes.contains(&kind)
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
    pub(super) fn results_so_far(&self) -> (usize, u64) {
        let results = self.status.stages.iter().flat_map(|stage| &stage.results);
        results.fold((0, 0), |(inline, total), result| {
            let value = result.value.as_ref().map_or(0, String::len);
            (
                inline + value,
                total.saturating_add(u64::try_from(result.size).unwrap_or_default()),
            )
        })
    }
}
