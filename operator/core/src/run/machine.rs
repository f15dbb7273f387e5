//! The journal's own state machine, brought to where the status is. Every record goes through it before it is written.

use dcanary_crds::{PipelineRunStatus, StageState, StageStatus};
use dcanary_types::{
    graph::GraphDoc,
    machine::{IllegalTransition, RunMachine},
    record::{SkipReason, Transition},
};

/// Reasons of skipped stages in a status.
const SKIPS: [(SkipReason, &str); 4] = [
    (SkipReason::Condition, "Condition"),
    (SkipReason::Needs, "Needs"),
    (SkipReason::Results, "Results"),
    (SkipReason::Ended, "Ended"),
];

/// The reason as a status has it.
pub(super) fn skip_text(reason: SkipReason) -> &'static str {
    SKIPS
        .iter()
        .find(|(known, _)| *known == reason)
        .map_or("Ended", |(_, text)| text)
}

/// The machine in the state that the status shows.
///
/// # Errors
/// When no sequence of records leads there: somebody changed the status.
pub(super) fn replay(graph: GraphDoc, status: &PipelineRunStatus) -> Result<RunMachine, IllegalTransition> {
    let mut machine = RunMachine::open(graph);
    for stage in &status.stages {
        for transition in history(stage) {
            machine.apply(&transition)?;
        }
    }
    Ok(machine)
}

fn history(status: &StageStatus) -> Vec<Transition> {
    let stage = || status.name.clone();
    let reason = || "Replay".to_owned();
    let last = status.attempts.len() as u64;
    let mut records = Vec::new();
    for attempt in 1..=last {
        records.push(Transition::StageStarted {
            stage: stage(),
            attempt,
            image: String::new(),
        });
        if attempt < last || status.state == StageState::Retrying {
            records.push(Transition::StageRetried {
                stage: stage(),
                attempt,
                reason: reason(),
            });
        }
    }
    match status.state {
        StageState::Pending | StageState::Running | StageState::Retrying => {}
        StageState::Succeeded => {
            records.push(Transition::StageSucceeded {
                stage: stage(),
                attempt: last,
                outputs: [0; 32],
                artifacts: None,
            });
        }
        StageState::Failed => records.push(Transition::StageFailed {
            stage: stage(),
            attempt: last,
            reason: reason(),
        }),
        StageState::Cancelled => records.push(Transition::StageCancelled {
            stage: stage(),
            reason: reason(),
        }),
        StageState::Skipped => {
            let skip = SKIPS
                .iter()
                .find(|(_, text)| *text == status.reason)
                .map_or(SkipReason::Ended, |(skip, _)| *skip);
            records.push(Transition::StageSkipped {
                stage: stage(),
                reason: skip,
            });
        }
    }
    records
}
