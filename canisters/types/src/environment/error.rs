//! Refusals in plain words.

use thiserror::Error;

use super::EnvTransition;
use crate::{
    fields::FieldError,
    limits::{MAX_HELD, MAX_WEIGHT},
    value::Hash,
};

/// A record that may not come next.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what}: {why}")]
pub struct IllegalEnv {
    /// What the record would do.
    pub what: String,
    /// Why it may not.
    pub why: Box<IllegalEnvReason>,
}

/// Why a record may not come next (section 12).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IllegalEnvReason {
    /// The environment is open.
    #[error("the environment is already open")]
    AlreadyOpen,
    /// Nothing follows the end.
    #[error("the environment is closed")]
    Closed,
    /// Another request has not ended.
    #[error("promotion {current} has not ended; record its end first")]
    Busy {
        /// UID of the current promotion.
        current: String,
    },
    /// The promotion is not the current one.
    #[error("{}", .current.as_ref().map_or_else(|| "no promotion is current".to_owned(), |uid| format!("promotion {uid} is the current one")))]
    NotCurrent {
        /// UID of the current promotion, if there is one.
        current: Option<String>,
    },
    /// The release may not come.
    #[error("the release {} is held; it may come when it is released", .0.short())]
    Held(Shown),
    /// The environment before this one does not vouch for the release.
    #[error("environment {from}, from which releases come, has not promoted release {}", .release.short())]
    NotPromoted {
        /// UID of that environment.
        from: String,
        /// Digest of the release.
        release: Shown,
    },
    /// The environment before this one is not there.
    #[error("environment {from}, from which releases come, is not open in this project and domain")]
    NoSource {
        /// UID of that environment.
        from: String,
    },
    /// It goes back to what was never here.
    #[error(
        "release {} was never promoted here, so it is nothing to go back to, and environment {from}, from which releases come, does not vouch for it",
        .release.short()
    )]
    NothingToUndo {
        /// UID of that environment.
        from: String,
        /// Digest of the release.
        release: Shown,
    },
    /// Approvals are missing.
    #[error("{have} of {needed} approvals are recorded")]
    NotApproved {
        /// How many there are.
        have: u64,
        /// How many there must be.
        needed: u64,
    },
    /// Somebody rejected it.
    #[error("it was rejected")]
    Rejected,
    /// The deployment has begun already.
    #[error("it has started already")]
    AlreadyStarted,
    /// The deployment has not begun.
    #[error("its deployment has not started")]
    NotStarted,
    /// The release is another one than the request's.
    #[error("it is about {}, the request is for {}", .named.short(), .requested.short())]
    OtherIdentity {
        /// The identity in the record.
        named: Shown,
        /// The identity in the request.
        requested: Shown,
    },
    /// More than all requests.
    #[error("the weight {0} is over {MAX_WEIGHT}")]
    Weight(u64),
    /// No more identities can be held.
    #[error("{MAX_HELD} releases are held already; release one of them first")]
    TooManyHeld,
    /// The identity is not held.
    #[error("the release {} is not held", .0.short())]
    NotHeld(Shown),
}

/// A digest in a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown(pub Hash);

impl Shown {
    /// Its first 6 bytes in hexadecimal digits: enough to find it, short enough for a sentence.
    fn short(self) -> String {
        use std::fmt::Write as _;
        self.0[..6]
            .iter()
            .fold(String::with_capacity(12), |mut text, byte| {
                // writing into a String never fails
                let _ = write!(text, "{byte:02x}");
                text
            })
    }
}

/// Why a saved state cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum EnvStateError {
    /// A field is missing, unknown or of another kind.
    #[error("the saved state is malformed")]
    Field(#[from] FieldError),
    /// The version is not known.
    #[error("the saved state has version {0}")]
    Version(u64),
    /// A field holds what is never saved.
    #[error("the saved field `{0}` holds what is never saved")]
    Content(&'static str),
}

/// What a record would do.
pub(super) fn describe(transition: &EnvTransition) -> String {
    match transition {
        EnvTransition::Opened { .. } => "cannot open the environment".to_owned(),
        EnvTransition::Changed { .. } => "cannot change the environment's rules".to_owned(),
        EnvTransition::DeployRequested { promotion, .. } => {
            format!("promotion {promotion} cannot ask for its turn")
        }
        EnvTransition::Decided { decision, verb, .. } => {
            format!("decision {decision} ({verb}) cannot count")
        }
        EnvTransition::DeployStarted { promotion } => format!("promotion {promotion} cannot start"),
        EnvTransition::StepReached { promotion, step, .. } => {
            format!("promotion {promotion} cannot reach step {step}")
        }
        EnvTransition::AnalysisVerdict {
            promotion, analysis, ..
        } => format!("analysis `{analysis}` of promotion {promotion} cannot be decided"),
        EnvTransition::Promoted { promotion, .. } => format!("promotion {promotion} cannot succeed"),
        EnvTransition::Aborted { promotion, .. } => format!("promotion {promotion} cannot be aborted"),
        EnvTransition::RolledBack { promotion, .. } => {
            format!("promotion {promotion} cannot be rolled back")
        }
        EnvTransition::Held { identity, .. } => {
            format!("release {} cannot be held", Shown(*identity).short())
        }
        EnvTransition::Released { identity, .. } => {
            format!("release {} cannot be released", Shown(*identity).short())
        }
        EnvTransition::Frozen { promotion, .. } => format!("promotion {promotion} cannot be frozen"),
        EnvTransition::Overridden {
            promotion, decision, ..
        } => format!("decision {decision} cannot let promotion {promotion} through"),
        EnvTransition::Closed => "cannot close the environment".to_owned(),
        EnvTransition::RecordRefused { .. } => "cannot note a refused record".to_owned(),
    }
}
