//! Whether the attempts of a stage are in its status as they are in the ledger: pure.

use dcanary_crds::{AttemptOutcome, AttemptStatus, StageStatus};
use dcanary_types::record::{Record, SkipReason, Transition};

/// Reason of a stage that did not begin because the status of its run was full. The journal has `ended` for it.
const STATUS_FULL: &str = "StatusFull";

/// What may be in a status and not in the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    /// Nothing: a record stands for all of it.
    Nothing,
    /// Records wait in the outbox, or the ledger has refused some and holds a note in their place.
    Perhaps,
}

/// Compares number, outcomes, reasons, disputes and images of the attempts of a stage.
pub(super) fn compare(stage: &StageStatus, records: &[Record], missing: Missing) -> Result<(), String> {
    let name = &stage.name;
    let mut started = 0;
    let mut ended = Vec::new();
    let mut disputed = Vec::new();
    for record in records
        .iter()
        .filter(|record| record.transition.stage() == Some(name))
    {
        match &record.transition {
            Transition::StageStarted { attempt, image, .. } => {
                started += 1;
                same_image(name, tried(stage, *attempt)?, *attempt, image)?;
            }
            Transition::StageRetried { attempt, reason, .. } => {
                ended.push(*attempt);
                failed(name, tried(stage, *attempt)?, *attempt, reason)?;
            }
            Transition::StageSucceeded { attempt, .. } => {
                ended.push(*attempt);
                same_outcome(name, tried(stage, *attempt)?, *attempt, AttemptOutcome::Succeeded)?;
            }
            Transition::StageFailed { attempt, reason, .. } => {
                ended.push(*attempt);
                failed(name, tried(stage, *attempt)?, *attempt, reason)?;
                same_reason(stage, reason)?;
            }
            Transition::StageDisputed { attempt, reason, .. } => {
                disputed.push(*attempt);
                dispute(name, tried(stage, *attempt)?, *attempt, reason)?;
            }
            Transition::StageSkipped {
                reason: SkipReason::Ended,
                ..
            } if stage.reason == STATUS_FULL => {}
            Transition::StageSkipped { reason, .. } => same_reason(stage, skipped(*reason))?,
            Transition::StageCancelled { reason, .. } => {
                same_reason(stage, reason)?;
                // A stage that waited for its next attempt has none that was stopped; that one failed is a record, which may be missing.
                if missing == Missing::Nothing && started > 0 && !ended.contains(&started) {
                    ended.push(started);
                    same_outcome(name, tried(stage, started)?, started, AttemptOutcome::Cancelled)?;
                }
            }
            _ => {}
        }
    }
    if missing == Missing::Perhaps {
        return Ok(());
    }
    if u64::try_from(stage.attempts.len()) != Ok(started) {
        return Err(format!(
            "stage {name} has {} attempts in the cluster and {started} in the ledger",
            stage.attempts.len()
        ));
    }
    for (number, attempt) in (1..).zip(&stage.attempts) {
        if attempt.outcome.is_some() && !ended.contains(&number) {
            return Err(format!(
                "attempt {number} of stage {name} {} in the cluster and has not ended in the ledger",
                how(attempt.outcome)
            ));
        }
        if let Some(reason) = &attempt.disputed
            && !disputed.contains(&number)
        {
            return Err(format!(
                "attempt {number} of stage {name} is disputed ({reason}) in the cluster and not in the ledger"
            ));
        }
    }
    Ok(())
}

/// The attempt of this number: the status holds all that began.
fn tried(stage: &StageStatus, number: u64) -> Result<&AttemptStatus, String> {
    usize::try_from(number)
        .ok()
        .and_then(|number| stage.attempts.get(number.checked_sub(1)?))
        .filter(|attempt| u64::try_from(attempt.number) == Ok(number))
        .ok_or_else(|| {
            format!(
                "the ledger holds attempt {number} of stage {}, which the status does not have",
                stage.name
            )
        })
}

fn failed(stage: &str, attempt: &AttemptStatus, number: u64, reason: &str) -> Result<(), String> {
    match attempt.outcome {
        Some(
            AttemptOutcome::Failed
            | AttemptOutcome::TimedOut
            | AttemptOutcome::Lost
            | AttemptOutcome::Refused,
        ) if attempt.reason == reason => Ok(()),
        None | Some(AttemptOutcome::Succeeded | AttemptOutcome::Cancelled) => Err(format!(
            "attempt {number} of stage {stage} {} in the cluster and failed ({reason}) in the ledger",
            how(attempt.outcome)
        )),
        Some(_) => Err(format!(
            "the reason of attempt {number} of stage {stage} is {} in the cluster and {reason} in the ledger",
            shown(&attempt.reason)
        )),
    }
}

/// Of the other ends the journal has no word but that of the stage.
fn same_outcome(
    stage: &str,
    attempt: &AttemptStatus,
    number: u64,
    recorded: AttemptOutcome,
) -> Result<(), String> {
    if attempt.outcome == Some(recorded) {
        return Ok(());
    }
    Err(format!(
        "attempt {number} of stage {stage} {} in the cluster and {} in the ledger",
        how(attempt.outcome),
        how(Some(recorded))
    ))
}

/// How an attempt ended, in a sentence.
fn how(outcome: Option<AttemptOutcome>) -> &'static str {
    match outcome {
        None => "goes on",
        Some(AttemptOutcome::Succeeded) => "succeeded",
        Some(AttemptOutcome::Failed) => "failed",
        Some(AttemptOutcome::TimedOut) => "timed out",
        Some(AttemptOutcome::Lost) => "was lost",
        Some(AttemptOutcome::Cancelled) => "was cancelled",
        Some(AttemptOutcome::Refused) => "was refused",
    }
}

fn dispute(stage: &str, attempt: &AttemptStatus, number: u64, reason: &str) -> Result<(), String> {
    match attempt.disputed.as_deref() {
        Some(said) if said == reason => Ok(()),
        Some(other) => Err(format!(
            "attempt {number} of stage {stage} is disputed as {} in the cluster and as {reason} in the ledger",
            shown(other)
        )),
        None => Err(format!(
            "attempt {number} of stage {stage} is disputed ({reason}) in the ledger and not in the cluster"
        )),
    }
}

/// Of a container that began, the status has the image as the kubelet calls it: by a digest, and perhaps by another name. That is not
/// compared, as the same image has several.
fn same_image(stage: &str, attempt: &AttemptStatus, number: u64, recorded: &str) -> Result<(), String> {
    let Some(image) = attempt.image.as_deref() else {
        return Ok(());
    };
    // The status has less room for it, and says by this sign that it was shortened.
    let begin = image.strip_suffix('…').unwrap_or(image);
    if image.contains("sha256:") || recorded.starts_with(begin) {
        return Ok(());
    }
    Err(format!(
        "the image of attempt {number} of stage {stage} is {} in the cluster and {recorded} in the ledger",
        shown(image)
    ))
}

fn same_reason(stage: &StageStatus, recorded: &str) -> Result<(), String> {
    if stage.reason == recorded {
        return Ok(());
    }
    Err(format!(
        "the reason of stage {} is {} in the cluster and {recorded} in the ledger",
        stage.name,
        shown(&stage.reason)
    ))
}

/// The reason of a skipped stage as a status has it.
fn skipped(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::Condition => "Condition",
        SkipReason::Needs => "Needs",
        SkipReason::Results => "Results",
        SkipReason::Ended => "Ended",
    }
}

fn shown(text: &str) -> &str {
    if text.is_empty() { "none" } else { text }
}

/// What the ledger says of attempts whose word does not count, a line each.
pub fn disputes<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<String> {
    records
        .into_iter()
        .filter_map(|record| match &record.transition {
            Transition::StageDisputed {
                stage,
                attempt,
                reason,
            } => Some(format!(
                "stage {stage}, attempt {attempt}: {reason}; no gate opens on it"
            )),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
#[path = "attempts_tests.rs"]
mod tests;
