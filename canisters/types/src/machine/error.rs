//! Refusals in plain words.

use thiserror::Error;

use super::StageState;
use crate::{
    fields::FieldError,
    record::{Outcome, Transition},
};

/// A record that may not come next.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what}: {why}")]
pub struct IllegalTransition {
    /// What the record would do.
    pub what: String,
    /// Why it may not.
    pub why: Box<Illegal>,
}

/// Why a record may not come next (section 4).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Illegal {
    /// The run is open.
    #[error("the run is already open")]
    AlreadyOpen,
    /// Nothing follows the end.
    #[error("the run has ended ({})", .0.as_str())]
    RunEnded(Outcome),
    /// The graph has no such stage.
    #[error("the graph has no such stage")]
    UnknownStage,
    /// The stage is in a state from which this does not happen.
    #[error("{0}")]
    State(StageState),
    /// Another attempt is due.
    #[error("attempt {expected} is due")]
    Attempt {
        /// The attempt that may be named.
        expected: u64,
    },
    /// The graph allows no further attempt.
    #[error("the graph allows {allowed} attempts")]
    TooManyAttempts {
        /// How many it allows.
        allowed: u64,
    },
    /// No such attempt has begun.
    #[error("the last attempt that began is {last}")]
    NoAttempt {
        /// The last one, 0 if none began.
        last: u64,
    },
    /// A need is not met.
    #[error("it needs `{need}`, and {state}")]
    NeedNotMet {
        /// The stage it needs.
        need: String,
        /// Where that is.
        state: StageState,
    },
    /// It was skipped for its needs, and each of them is met or may still be.
    #[error("no stage it needs has ended without being met")]
    NoBrokenNeed,
    /// Another stage has not ended.
    #[error("`{other}` has not ended: {state}")]
    NotEnded {
        /// The other stage.
        other: String,
        /// Where it is.
        state: StageState,
    },
    /// A stage ended in a way that a successful run does not have.
    #[error("stage `{stage}` did not let it succeed: {state}")]
    NotASuccess {
        /// The stage.
        stage: String,
        /// How it ended.
        state: StageState,
    },
    /// No stage failed the run.
    #[error("no stage failed it")]
    NotAFailure,
}

/// Why a saved state cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StateError {
    /// A field is missing, unknown or of another kind.
    #[error("the saved state is malformed")]
    Field(#[from] FieldError),
    /// The version is not known.
    #[error("the saved state has version {0}")]
    Version(u64),
    /// A stage's number is not one that is ever saved.
    #[error("the saved state of a stage is unknown")]
    Stage,
    /// The outcome is unknown.
    #[error("the saved outcome is unknown")]
    Outcome,
    /// The graph has another number of stages.
    #[error("the graph has {stages} stages, the saved state has {saved}")]
    OtherGraph {
        /// Stages of the graph.
        stages: usize,
        /// Stages of the saved state.
        saved: usize,
    },
}

/// What a record would do.
pub(super) fn describe(transition: &Transition) -> String {
    match transition {
        Transition::RunOpened { .. } => "cannot open the run".to_owned(),
        Transition::StageStarted { stage, attempt, .. } => {
            format!("cannot start attempt {attempt} of stage `{stage}`")
        }
        Transition::StageSucceeded { stage, attempt, .. } => {
            format!("attempt {attempt} of stage `{stage}` cannot succeed")
        }
        Transition::StageFailed { stage, attempt, .. } => {
            format!("attempt {attempt} of stage `{stage}` cannot fail")
        }
        Transition::StageRetried { stage, attempt, .. } => {
            format!("attempt {attempt} of stage `{stage}` cannot be retried")
        }
        Transition::StageDisputed { stage, attempt, .. } => {
            format!("attempt {attempt} of stage `{stage}` cannot be disputed")
        }
        Transition::StageSkipped { stage, reason } => {
            format!("cannot skip stage `{stage}` ({})", reason.as_str())
        }
        Transition::StageCancelled { stage, .. } => format!("cannot cancel stage `{stage}`"),
        Transition::RunFinished { outcome } => format!("the run cannot end as {}", outcome.as_str()),
        Transition::RecordRefused { .. } => "cannot note a refused record".to_owned(),
    }
}
