//! Records of runs (section 3, "Runs").

use crate::{
    fields::{FieldError, Fields},
    record::{Artifact, Outcome, RecordError, RecordKind, SkipReason, outputs},
    value::{self, Hash, Map, Value},
};

/// What happened to a run or one of its stages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transition {
    /// The run begins; always number 0.
    RunOpened {
        /// `namespace/name`.
        name: String,
        /// Digest of the resolved definition.
        definition: Hash,
        /// SHA-256 of the graph document.
        graph: Hash,
        /// Digest of the parameters.
        params: Hash,
        /// Where the source came from.
        source: Option<Source>,
    },
    /// An attempt runs.
    StageStarted {
        /// Stage.
        stage: String,
        /// Attempt, from 1.
        attempt: u64,
        /// Image of the attempt.
        image: String,
    },
    /// An attempt succeeded, and with it the stage.
    StageSucceeded {
        /// Stage.
        stage: String,
        /// Attempt.
        attempt: u64,
        /// SHA-256 of the outputs document.
        outputs: Hash,
        /// The artifacts, where they fit into the body.
        artifacts: Option<Vec<Artifact>>,
    },
    /// The stage failed for good.
    StageFailed {
        /// Stage.
        stage: String,
        /// Last attempt.
        attempt: u64,
        /// Why.
        reason: String,
    },
    /// An attempt ended and another will follow.
    StageRetried {
        /// Stage.
        stage: String,
        /// The attempt that ended.
        attempt: u64,
        /// Why.
        reason: String,
    },
    /// Runner and kubelet disagree about an attempt. A note.
    StageDisputed {
        /// Stage.
        stage: String,
        /// Attempt.
        attempt: u64,
        /// Why.
        reason: String,
    },
    /// The stage will not run.
    StageSkipped {
        /// Stage.
        stage: String,
        /// Why.
        reason: SkipReason,
    },
    /// The stage was cancelled.
    StageCancelled {
        /// Stage.
        stage: String,
        /// Why.
        reason: String,
    },
    /// The run ends.
    RunFinished {
        /// How.
        outcome: Outcome,
    },
    /// The record that was offered at this number was refused. A note.
    RecordRefused {
        /// Content hash of the refused record.
        hash: Hash,
        /// Why.
        reason: String,
    },
}

/// Where the source of a run came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Repository.
    pub repo: String,
    /// Branch or tag, if there is one.
    pub reference: Option<String>,
    /// Commit.
    pub commit: String,
}

impl Transition {
    /// Block type of [`Transition::RunOpened`].
    pub const RUN_OPENED: &'static str = "dcanary_run_opened";
    /// Block type of [`Transition::StageStarted`].
    pub const STAGE_STARTED: &'static str = "dcanary_stage_started";
    /// Block type of [`Transition::StageSucceeded`].
    pub const STAGE_SUCCEEDED: &'static str = "dcanary_stage_succeeded";
    /// Block type of [`Transition::StageFailed`].
    pub const STAGE_FAILED: &'static str = "dcanary_stage_failed";
    /// Block type of [`Transition::StageRetried`].
    pub const STAGE_RETRIED: &'static str = "dcanary_stage_retried";
    /// Block type of [`Transition::StageDisputed`].
    pub const STAGE_DISPUTED: &'static str = "dcanary_stage_disputed";
    /// Block type of [`Transition::StageSkipped`].
    pub const STAGE_SKIPPED: &'static str = "dcanary_stage_skipped";
    /// Block type of [`Transition::StageCancelled`].
    pub const STAGE_CANCELLED: &'static str = "dcanary_stage_cancelled";
    /// Block type of [`Transition::RunFinished`].
    pub const RUN_FINISHED: &'static str = "dcanary_run_finished";
    /// Block type of [`Transition::RecordRefused`].
    pub const RECORD_REFUSED: &'static str = "dcanary_record_refused";

    /// All block types of runs.
    pub const TYPES: [&'static str; 10] = [
        Self::RUN_OPENED,
        Self::STAGE_STARTED,
        Self::STAGE_SUCCEEDED,
        Self::STAGE_FAILED,
        Self::STAGE_RETRIED,
        Self::STAGE_DISPUTED,
        Self::STAGE_SKIPPED,
        Self::STAGE_CANCELLED,
        Self::RUN_FINISHED,
        Self::RECORD_REFUSED,
    ];

    /// The block type.
    pub fn btype(&self) -> &'static str {
        match self {
            Self::RunOpened { .. } => Self::RUN_OPENED,
            Self::StageStarted { .. } => Self::STAGE_STARTED,
            Self::StageSucceeded { .. } => Self::STAGE_SUCCEEDED,
            Self::StageFailed { .. } => Self::STAGE_FAILED,
            Self::StageRetried { .. } => Self::STAGE_RETRIED,
            Self::StageDisputed { .. } => Self::STAGE_DISPUTED,
            Self::StageSkipped { .. } => Self::STAGE_SKIPPED,
            Self::StageCancelled { .. } => Self::STAGE_CANCELLED,
            Self::RunFinished { .. } => Self::RUN_FINISHED,
            Self::RecordRefused { .. } => Self::RECORD_REFUSED,
        }
    }

    /// The stage it is about, if it is about one.
    pub fn stage(&self) -> Option<&str> {
        match self {
            Self::StageStarted { stage, .. }
            | Self::StageSucceeded { stage, .. }
            | Self::StageFailed { stage, .. }
            | Self::StageRetried { stage, .. }
            | Self::StageDisputed { stage, .. }
            | Self::StageSkipped { stage, .. }
            | Self::StageCancelled { stage, .. } => Some(stage),
            Self::RunOpened { .. } | Self::RunFinished { .. } | Self::RecordRefused { .. } => None,
        }
    }
}

impl RecordKind for Transition {
    fn btype(&self) -> &'static str {
        self.btype()
    }

    fn knows(btype: &str) -> bool {
        Self::TYPES.contains(&btype)
    }

    fn foreign(btype: &str) -> RecordError {
        RecordError::NotOfARun(btype.to_owned())
    }

    fn fields(&self) -> Map {
        match self {
            Self::RunOpened {
                name,
                definition,
                graph,
                params,
                source,
            } => {
                let mut fields = value::map([
                    ("name", name.as_str().into()),
                    ("definition", (*definition).into()),
                    ("graph", (*graph).into()),
                    ("params", (*params).into()),
                ]);
                if let Some(source) = source {
                    fields.insert("source".to_owned(), source.to_value());
                }
                fields
            }
            Self::StageStarted {
                stage,
                attempt,
                image,
            } => {
                let mut fields = attempt_fields(stage, *attempt);
                fields.insert("image".to_owned(), image.as_str().into());
                fields
            }
            Self::StageSucceeded {
                stage,
                attempt,
                outputs,
                artifacts,
            } => {
                let mut fields = attempt_fields(stage, *attempt);
                fields.insert("outputs".to_owned(), (*outputs).into());
                if let Some(artifacts) = artifacts {
                    fields.insert("artifacts".to_owned(), outputs::artifacts_value(artifacts));
                }
                fields
            }
            Self::StageFailed {
                stage,
                attempt,
                reason,
            }
            | Self::StageRetried {
                stage,
                attempt,
                reason,
            }
            | Self::StageDisputed {
                stage,
                attempt,
                reason,
            } => {
                let mut fields = attempt_fields(stage, *attempt);
                fields.insert("reason".to_owned(), reason.as_str().into());
                fields
            }
            Self::StageSkipped { stage, reason } => value::map([
                ("stage", stage.as_str().into()),
                ("reason", reason.as_str().into()),
            ]),
            Self::StageCancelled { stage, reason } => value::map([
                ("stage", stage.as_str().into()),
                ("reason", reason.as_str().into()),
            ]),
            Self::RunFinished { outcome } => value::map([("outcome", outcome.as_str().into())]),
            Self::RecordRefused { hash, reason } => {
                value::map([("hash", (*hash).into()), ("reason", reason.as_str().into())])
            }
        }
    }

    fn take(btype: &str, fields: &mut Fields) -> Result<Self, RecordError> {
        Ok(match btype {
            Self::RUN_OPENED => Self::RunOpened {
                name: fields.text("name")?,
                definition: fields.hash("definition")?,
                graph: fields.hash("graph")?,
                params: fields.hash("params")?,
                source: fields.optional("source").map(Source::from_value).transpose()?,
            },
            Self::STAGE_STARTED => Self::StageStarted {
                stage: fields.stage("stage")?,
                attempt: attempt(fields)?,
                image: fields.text("image")?,
            },
            Self::STAGE_SUCCEEDED => Self::StageSucceeded {
                stage: fields.stage("stage")?,
                attempt: attempt(fields)?,
                outputs: fields.hash("outputs")?,
                artifacts: fields
                    .optional("artifacts")
                    .map(outputs::artifacts_from)
                    .transpose()?,
            },
            Self::STAGE_FAILED => {
                let (stage, attempt, reason) = ended(fields)?;
                Self::StageFailed {
                    stage,
                    attempt,
                    reason,
                }
            }
            Self::STAGE_RETRIED => {
                let (stage, attempt, reason) = ended(fields)?;
                Self::StageRetried {
                    stage,
                    attempt,
                    reason,
                }
            }
            Self::STAGE_DISPUTED => {
                let (stage, attempt, reason) = ended(fields)?;
                Self::StageDisputed {
                    stage,
                    attempt,
                    reason,
                }
            }
            Self::STAGE_SKIPPED => Self::StageSkipped {
                stage: fields.stage("stage")?,
                reason: SkipReason::parse(&fields.text("reason")?).ok_or_else(|| {
                    FieldError::rule("reason", "`condition`, `needs`, `results` or `ended`")
                })?,
            },
            Self::STAGE_CANCELLED => Self::StageCancelled {
                stage: fields.stage("stage")?,
                reason: fields.reason("reason")?,
            },
            Self::RUN_FINISHED => Self::RunFinished {
                outcome: Outcome::parse(&fields.text("outcome")?).ok_or_else(|| {
                    FieldError::rule("outcome", "`succeeded`, `failed`, `cancelled` or `timed_out`")
                })?,
            },
            Self::RECORD_REFUSED => Self::RecordRefused {
                hash: fields.hash("hash")?,
                reason: fields.reason("reason")?,
            },
            other => return Err(RecordError::UnknownType(other.to_owned())),
        })
    }
}

impl Source {
    fn to_value(&self) -> Value {
        let mut source = value::map([
            ("repo", self.repo.as_str().into()),
            ("commit", self.commit.as_str().into()),
        ]);
        if let Some(reference) = &self.reference {
            source.insert("ref".to_owned(), reference.as_str().into());
        }
        Value::Map(source)
    }

    fn from_value(value: Value) -> Result<Self, FieldError> {
        let mut fields = Fields::of("source", value)?;
        let source = Self {
            repo: fields.text("repo")?,
            reference: fields.optional_text("ref")?,
            commit: fields.text("commit")?,
        };
        fields.done()?;
        Ok(source)
    }
}

fn attempt_fields(stage: &str, attempt: u64) -> Map {
    value::map([("stage", stage.into()), ("attempt", Value::Nat(attempt))])
}

fn attempt(fields: &mut Fields) -> Result<u64, FieldError> {
    match fields.nat("attempt")? {
        0 => Err(FieldError::rule("attempt", "at least 1")),
        n => Ok(n),
    }
}

fn ended(fields: &mut Fields) -> Result<(String, u64, String), FieldError> {
    Ok((fields.stage("stage")?, attempt(fields)?, fields.reason("reason")?))
}
