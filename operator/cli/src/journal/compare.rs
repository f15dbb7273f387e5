//! Whether a run's status says what its journal says: pure.
//!
//! The status may be ahead (records wait in the outbox) and never behind by more than a write; it may never contradict.

use dcanary_core::definition::parse_digest as parse;
use dcanary_crds::{
    ArtifactStatus, ConditionStatus, ConditionType, PipelineRun, PipelineRunStatus, ResultStatus, StageState,
    StageStatus,
};
use dcanary_types::{
    Hash,
    record::{Artifact, Outcome, Outputs, Record, ResultDigest, Transition},
    value::sha256,
};
use dcanary_verifier::Status;

use super::{
    attempts::{self, Missing},
    images, opened,
};

/// Compares a run's object with its verified records.
pub fn compare(run: &PipelineRun, records: &[Record]) -> (Status, String) {
    match differences(run, records) {
        Ok(Agreement::Whole) => (
            Status::Passed,
            format!(
                "definition, parameters, source, states, attempts, reasons, disputes, outputs and outcome of the run agree with all {} records{}",
                records.len(),
                images::unrecorded(run)
            ),
        ),
        Ok(Agreement::Behind(what)) => (Status::Unchecked, what),
        Err(difference) => (Status::Failed, difference),
    }
}

enum Agreement {
    Whole,
    /// Something is not recorded yet.
    Behind(String),
}

fn differences(run: &PipelineRun, records: &[Record]) -> Result<Agreement, String> {
    let nothing = PipelineRunStatus::default();
    let status = run.status.as_ref().unwrap_or(&nothing);
    let journal = status.journal.clone().unwrap_or_default();
    let held = records.len();
    let count = |number: i64| usize::try_from(number).unwrap_or(0);
    if count(journal.recorded) > held {
        return Err(format!(
            "the status says {} records are recorded, the ledger holds {held}",
            journal.recorded
        ));
    }
    same_run(run, status, records)?;
    let refused = |record: &Record| matches!(record.transition, Transition::RecordRefused { .. });
    let missing = if count(journal.next) > held || records.iter().any(refused) {
        Missing::Perhaps
    } else {
        Missing::Nothing
    };
    for stage in &status.stages {
        compare_stage(stage, records, count(journal.next) > held)?;
        attempts::compare(stage, records, missing)?;
    }
    let known = |name: &str| status.stages.iter().any(|stage| stage.name == name);
    if let Some(name) = records
        .iter()
        .filter_map(|record| record.transition.stage())
        .find(|name| !known(name))
    {
        return Err(format!(
            "the ledger holds records of stage {name}, which the status does not have"
        ));
    }
    compare_end(status, records, count(journal.next) > held)?;
    let waiting = count(journal.next).saturating_sub(held);
    if waiting > 0 {
        return Ok(Agreement::Behind(format!(
            "{waiting} records are not in the ledger yet"
        )));
    }
    Ok(Agreement::Whole)
}

fn same_run(run: &PipelineRun, status: &PipelineRunStatus, records: &[Record]) -> Result<(), String> {
    let uid = run.metadata.uid.as_deref().unwrap_or_default();
    // The verifier was told the UID too; whoever calls this with records from elsewhere is stopped here.
    if let Some(other) = records.iter().find(|record| record.run != uid) {
        return Err(format!(
            "the ledger's records are of run {}, the cluster's run of that name is {uid}",
            other.run
        ));
    }
    match records.first() {
        Some(first) => opened::compare(run, status, &first.transition),
        None => Ok(()),
    }
}

fn compare_stage(stage: &StageStatus, records: &[Record], more_to_come: bool) -> Result<(), String> {
    let name = &stage.name;
    values(stage)?;
    images::compare(stage)?;
    let ours = |record: &&Record| record.transition.stage() == Some(name);
    let end = records
        .iter()
        .filter(ours)
        .find_map(|record| ended(&record.transition));
    let said = format!("{:?}", stage.state);
    match end {
        Some((state, _, _)) if state != stage.state => Err(format!(
            "stage {name} is {said} in the cluster and {state:?} in the ledger"
        )),
        None if stage.state.ended() && !more_to_come => Err(format!(
            "stage {name} is {said} in the cluster and has not ended in the ledger"
        )),
        Some((StageState::Succeeded, attempt, Some(outputs))) => {
            let tried = stage
                .attempts
                .last()
                .map_or(0, |last| u64::try_from(last.number).unwrap_or(0));
            if tried != 0 && tried != attempt {
                return Err(format!(
                    "stage {name} succeeded at attempt {tried} in the cluster and {attempt} in the ledger"
                ));
            }
            match outputs_digest(&stage.artifacts, &stage.results) {
                Some(digest) if digest == outputs => Ok(()),
                Some(_) => Err(format!(
                    "results or artifacts of stage {name} are not those in the ledger, which keeps one digest of them all"
                )),
                None => Err(format!("a digest in the status of stage {name} is malformed")),
            }
        }
        _ => Ok(()),
    }
}

/// The records hold digest and size of a result. Its value is what people and later stages read, so it has to be the one of that digest.
fn values(stage: &StageStatus) -> Result<(), String> {
    let own = |result: &&ResultStatus| {
        result.value.as_ref().is_none_or(|value| {
            parse(&result.digest) == Some(sha256(value.as_bytes()))
                && usize::try_from(result.size) == Ok(value.len())
        })
    };
    match stage.results.iter().find(|result| !own(result)) {
        Some(result) => Err(format!(
            "the value of result {} of stage {} has another digest or size than the status names beside it",
            result.name, stage.name
        )),
        None => Ok(()),
    }
}

fn ended(transition: &Transition) -> Option<(StageState, u64, Option<Hash>)> {
    match transition {
        Transition::StageSucceeded { attempt, outputs, .. } => {
            Some((StageState::Succeeded, *attempt, Some(*outputs)))
        }
        Transition::StageFailed { attempt, .. } => Some((StageState::Failed, *attempt, None)),
        Transition::StageSkipped { .. } => Some((StageState::Skipped, 0, None)),
        Transition::StageCancelled { .. } => Some((StageState::Cancelled, 0, None)),
        _ => None,
    }
}

fn compare_end(status: &PipelineRunStatus, records: &[Record], more_to_come: bool) -> Result<(), String> {
    let recorded = records.iter().find_map(|record| match record.transition {
        Transition::RunFinished { outcome } => Some(outcome),
        _ => None,
    });
    let shown = outcome(status);
    match (shown, recorded) {
        (Some(shown), Some(recorded)) if shown != recorded => Err(format!(
            "the run {} in the cluster and {} in the ledger",
            shown.as_str(),
            recorded.as_str()
        )),
        (None, Some(recorded)) => Err(format!(
            "the run goes on in the cluster and {} in the ledger",
            recorded.as_str()
        )),
        (Some(shown), None) if !more_to_come => Err(format!(
            "the run {} in the cluster and has not ended in the ledger",
            shown.as_str()
        )),
        _ => Ok(()),
    }
}

/// How a run ended, by its conditions.
pub fn outcome(status: &PipelineRunStatus) -> Option<Outcome> {
    let of = |kind| status.conditions.iter().find(|condition| condition.kind == kind);
    if of(ConditionType::Finished)?.status != ConditionStatus::True {
        return None;
    }
    let succeeded = of(ConditionType::Succeeded)?;
    Some(match (succeeded.status, succeeded.reason.as_str()) {
        (ConditionStatus::True, _) => Outcome::Succeeded,
        // the journal has no word of its own for a run that was ended by its deletion
        (_, reason) if reason == "Deleted" || reason.contains("Cancel") => Outcome::Cancelled,
        (_, reason) if reason.contains("TimedOut") || reason.contains("Timeout") => Outcome::TimedOut,
        _ => Outcome::Failed,
    })
}

fn outputs_digest(artifacts: &[ArtifactStatus], results: &[ResultStatus]) -> Option<Hash> {
    let artifacts: Option<Vec<Artifact>> = artifacts
        .iter()
        .map(|one| {
            let size = u64::try_from(one.size).ok()?;
            Some(Artifact {
                name: one.name.clone(),
                digest: parse(&one.digest)?,
                size,
            })
        })
        .collect();
    let results: Option<Vec<(String, ResultDigest)>> = results
        .iter()
        .map(|one| {
            let size = u64::try_from(one.size).ok()?;
            Some((
                one.name.clone(),
                ResultDigest {
                    digest: parse(&one.digest)?,
                    size,
                },
            ))
        })
        .collect();
    Some(Outputs::new(artifacts?, results?).digest())
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
