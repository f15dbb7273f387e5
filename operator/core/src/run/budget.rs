//! The size of a status. etcd refuses large objects, and a run whose status cannot be written stands still for ever.
//!
//! ```text
//! size + what must still fit (ends of stages, outbox, conditions) ≤ 512 KiB;  otherwise, one after the other:
//! step lists ─▶ messages ─▶ images ─▶ nothing new begins, results are refused
//! ```
//! What is trimmed is never worked out again, so a decision on its own result trims nothing more.

use std::io;

use dcanary_crds::{AttemptOutcome, AttemptStatus, PipelineRunStatus, StageState, StageStatus};
use serde::Serialize;

use crate::{journal, text::cut};

/// Largest status as JSON.
pub(super) const STATUS_BYTES: usize = 512 * 1024;
/// Reason of a stage that cannot begin, or not once more, because the status has no room for it.
pub(super) const STATUS_FULL: &str = "StatusFull";
/// Reason of an attempt whose results and artifacts do not fit.
pub(super) const RESULTS_TOO_LARGE: &str = "ResultsTooLarge";
/// Longest message of a condition of an active or ended run, in bytes.
pub(crate) const CONDITION_MESSAGE_BYTES: usize = 1500;
/// Longest image of an attempt as the kubelet tells it, in bytes.
pub(super) const IMAGE_BYTES: usize = 384;
/// All conditions with the longest messages.
const CONDITIONS_BYTES: usize = 16 * 1024;
/// Times, progress and ending of the run, and why the journal refused a record.
const RUN_BYTES: usize = 4 * 1024;
/// What a stage without attempt needs to be skipped.
const SKIP_BYTES: usize = 128;
/// What an attempt that is under way still adds: times, UID, image with digest, outcome, reasons, exit code, its part of sealed records.
const END_BYTES: usize = 900;
/// What an attempt takes from its begin on.
pub(super) const ATTEMPT_BYTES: usize = END_BYTES + IMAGE_BYTES + 156;
/// Longest message that is left when messages are cut.
const SHORT_MESSAGE: usize = 120;

/// Things that are given up, in this order.
#[derive(Debug, Clone, Copy)]
enum Trim {
    StepsOfEarlierAttempts,
    StepsOfSuccesses,
    Steps,
    LongMessages,
    MessagesAndImages,
}

/// Trims the status until so many bytes are free besides what must still fit. `false`: all was trimmed, and they are not.
pub(super) fn make_room(status: &mut PipelineRunStatus, want: usize) -> bool {
    let steps = [
        Trim::StepsOfEarlierAttempts,
        Trim::StepsOfSuccesses,
        Trim::Steps,
        Trim::LongMessages,
        Trim::MessagesAndImages,
    ];
    for step in steps {
        if left(status).is_some_and(|left| left >= want) {
            return true;
        }
        for stage in &mut status.stages {
            trim(stage, step);
        }
    }
    left(status).is_some_and(|left| left >= want)
}

/// How many bytes are free besides what must still fit; `None` when even that does not.
pub(super) fn left(status: &PipelineRunStatus) -> Option<usize> {
    let stages: usize = status.stages.iter().map(outstanding).sum();
    let conditions = CONDITIONS_BYTES.saturating_sub(bytes(&status.conditions));
    let outbox = status.journal.as_ref().map_or(0, |journal| {
        journal::BYTES.saturating_sub(journal::pending_bytes(journal))
    });
    let needed = bytes(status) + stages + conditions + outbox + RUN_BYTES;
    STATUS_BYTES.checked_sub(needed)
}

/// What a stage still needs to come to its end.
fn outstanding(stage: &StageStatus) -> usize {
    match stage.state {
        StageState::Pending => SKIP_BYTES,
        StageState::Running => END_BYTES,
        // the next attempt was promised with the decision to repeat
        StageState::Retrying => ATTEMPT_BYTES,
        StageState::Succeeded | StageState::Failed | StageState::Skipped | StageState::Cancelled => 0,
    }
}

fn trim(stage: &mut StageStatus, what: Trim) {
    let last = stage.attempts.len().saturating_sub(1);
    let ended = stage.state.ended();
    let attempts = stage.attempts.iter_mut().enumerate();
    for (at, attempt) in attempts.filter(|(_, attempt)| attempt.outcome.is_some()) {
        trim_attempt(attempt, at < last, what);
    }
    match what {
        Trim::LongMessages => stage.message = cut(&stage.message, SHORT_MESSAGE),
        Trim::MessagesAndImages if ended => stage.message.clear(),
        _ => {}
    }
    // of one that is under way the same text comes again only with another reason
    for attempt in stage
        .attempts
        .iter_mut()
        .filter(|attempt| attempt.outcome.is_none())
    {
        if matches!(what, Trim::LongMessages) {
            attempt.message = cut(&attempt.message, SHORT_MESSAGE);
        }
    }
}

fn trim_attempt(attempt: &mut AttemptStatus, earlier: bool, what: Trim) {
    let succeeded = attempt.outcome == Some(AttemptOutcome::Succeeded);
    match what {
        Trim::StepsOfEarlierAttempts if earlier => attempt.steps.clear(),
        Trim::StepsOfSuccesses if succeeded => attempt.steps.clear(),
        Trim::Steps => attempt.steps.clear(),
        Trim::LongMessages => attempt.message = cut(&attempt.message, SHORT_MESSAGE),
        Trim::MessagesAndImages => {
            attempt.message.clear();
            attempt.image = None;
        }
        Trim::StepsOfEarlierAttempts | Trim::StepsOfSuccesses => {}
    }
}

/// Whether a message is what is shown of a text, perhaps cut since.
pub(super) fn is_shown(text: &str, message: &str) -> bool {
    message == text || message == cut(text, SHORT_MESSAGE)
}

/// Length as JSON.
pub(super) fn bytes(value: &impl Serialize) -> usize {
    struct Count(usize);
    impl io::Write for Count {
        fn write(&mut self, part: &[u8]) -> io::Result<usize> {
            self.0 += part.len();
            Ok(part.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // counting does not fail, and nothing of a status cannot be written; if it could, it would not fit
    serde_json::to_writer(&mut count, value).map_or(usize::MAX / 4, |()| count.0)
}
