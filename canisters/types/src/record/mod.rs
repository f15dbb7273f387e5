//! Bodies of blocks: what each block type says, with exactly which fields (section 3).

mod entry;
mod ledger;
mod outputs;
mod transition;
pub(crate) mod words;

pub use entry::Entry;
pub use ledger::LedgerEvent;
pub use outputs::{Artifact, Outputs, ResultDigest};
pub use transition::{Source, Transition};
pub use words::{Outcome, SkipReason};

use thiserror::Error;

use crate::{
    block::{self, Block},
    cbor::{self, CborError},
    environment::{EnvRecord, EnvTransition},
    fields::{FieldError, Fields},
    limits::MAX_BODY_BYTES,
    names,
    value::{Hash, Map, Value},
};

/// Every block type, with what it records (sections 3 and 11). The order is that of the page.
pub const BLOCK_TYPES: [&str; 30] = [
    LedgerEvent::OPENED,
    LedgerEvent::RESTORED,
    LedgerEvent::ROLE_GRANTED,
    LedgerEvent::ROLE_REVOKED,
    LedgerEvent::CONFLICT,
    Transition::RUN_OPENED,
    Transition::STAGE_STARTED,
    Transition::STAGE_SUCCEEDED,
    Transition::STAGE_FAILED,
    Transition::STAGE_RETRIED,
    Transition::STAGE_DISPUTED,
    Transition::STAGE_SKIPPED,
    Transition::STAGE_CANCELLED,
    Transition::RUN_FINISHED,
    Transition::RECORD_REFUSED,
    EnvTransition::OPENED,
    EnvTransition::CHANGED,
    EnvTransition::DEPLOY_REQUESTED,
    EnvTransition::DECIDED,
    EnvTransition::DEPLOY_STARTED,
    EnvTransition::STEP_REACHED,
    EnvTransition::ANALYSIS_VERDICT,
    EnvTransition::PROMOTED,
    EnvTransition::ABORTED,
    EnvTransition::ROLLED_BACK,
    EnvTransition::HELD,
    EnvTransition::RELEASED,
    EnvTransition::FROZEN,
    EnvTransition::OVERRIDDEN,
    EnvTransition::CLOSED,
];

/// Why a body is not what its block type says (section 3).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum RecordError {
    /// The block type is not one of section 3.
    #[error("block type `{0}` is unknown")]
    UnknownType(String),
    /// The block type is not one that a run's records may have.
    #[error("block type `{0}` is not a record of a run")]
    NotOfARun(String),
    /// The block type is not one that an environment's records may have.
    #[error("block type `{0}` is not a record of an environment")]
    NotOfAnEnvironment(String),
    /// The block type is one that the canister writes of itself.
    #[error("block type `{0}` is not a record of a run or an environment")]
    NotARecord(String),
    /// The body is not deterministic CBOR.
    #[error("the body is not deterministic CBOR: {0}")]
    Cbor(#[from] CborError),
    /// A field is missing, unknown or breaks its rule.
    #[error("{0}")]
    Field(#[from] FieldError),
    /// The body is longer than a block takes.
    #[error("the body has {0} bytes, at most {MAX_BODY_BYTES} fit into a block")]
    TooLong(usize),
    /// The frame's project or domain does not fit the block type.
    #[error("project and domain of the block do not fit its type")]
    Frame,
}

/// What records of one kind say.
pub trait RecordKind: Sized {
    /// The block type.
    fn btype(&self) -> &'static str;

    /// Whether records of this kind may have the block type.
    fn knows(btype: &str) -> bool;

    /// What to say of a block type of another kind.
    fn foreign(btype: &str) -> RecordError;

    /// The fields of the body besides `run` and `n`.
    fn fields(&self) -> Map;

    /// Takes the fields of a type; what is left is for the caller to refuse.
    ///
    /// # Errors
    /// If a field is missing or breaks its rule.
    fn take(btype: &str, fields: &mut Fields) -> Result<Self, RecordError>;
}

/// One numbered record: what an operator offers, and what its block keeps (sections 3 and 11). `Record` alone is one of a
/// run, [`EnvRecord`] one of an environment, `Record<Entry>` one of either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record<T = Transition> {
    /// UID of the run or the environment.
    pub run: String,
    /// Number of the record within it.
    pub n: u64,
    /// The operator's time in nanoseconds since 1970.
    pub claimed_ts: u64,
    /// What happened.
    pub transition: T,
}

impl<T: RecordKind> Record<T> {
    /// The block type.
    pub fn btype(&self) -> &'static str {
        self.transition.btype()
    }

    /// The full body: `run`, `n` and the fields of the type.
    pub fn body(&self) -> Map {
        let mut body = self.transition.fields();
        body.insert("run".to_owned(), self.run.as_str().into());
        body.insert("n".to_owned(), Value::Nat(self.n));
        body
    }

    /// The body as an operator sends it: deterministic CBOR.
    pub fn encode_body(&self) -> Vec<u8> {
        cbor::encode_map(&self.body())
    }

    /// The content hash, which decides whether two offers of one number are the same.
    pub fn content_hash(&self) -> Hash {
        block::content_hash(self.btype(), self.claimed_ts, &self.body())
    }

    /// Reads a record from what an operator sends.
    ///
    /// # Errors
    /// If the body is too long, not deterministic CBOR, or has not exactly the fields of the block type.
    pub fn decode(btype: &str, claimed_ts: u64, body: &[u8]) -> Result<Self, RecordError> {
        if body.len() > MAX_BODY_BYTES {
            return Err(RecordError::TooLong(body.len()));
        }
        Self::from_fields(btype, claimed_ts, Fields::of("body", cbor::decode(body)?)?)
    }

    /// Reads a record from the body of a block.
    ///
    /// # Errors
    /// If the body has not exactly the fields of the block type.
    pub fn from_body(btype: &str, claimed_ts: u64, body: Map) -> Result<Self, RecordError> {
        Self::from_fields(btype, claimed_ts, Fields::new(body))
    }

    fn from_fields(btype: &str, claimed_ts: u64, mut fields: Fields) -> Result<Self, RecordError> {
        if !T::knows(btype) {
            return Err(if BLOCK_TYPES.contains(&btype) {
                T::foreign(btype)
            } else {
                RecordError::UnknownType(btype.to_owned())
            });
        }
        let run = fields.run("run")?;
        let n = fields.nat("n")?;
        let transition = T::take(btype, &mut fields)?;
        fields.done()?;
        Ok(Self {
            run,
            n,
            claimed_ts,
            transition,
        })
    }
}

/// What a block says, whoever wrote it (section 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Something about the ledger itself.
    Ledger(LedgerEvent),
    /// A record of a run, or the note that a record was refused, which an environment may have as well.
    Run(Record),
    /// A record of an environment.
    Environment(EnvRecord),
}

impl Body {
    /// Reads and checks the body of a block, and whether project and domain of the frame fit it.
    ///
    /// # Errors
    /// If the block type is unknown or the body has not exactly its fields.
    pub fn of(block: &Block) -> Result<Self, RecordError> {
        if Entry::knows(&block.btype) {
            if !names::is_name(&block.project) || !names::is_name(&block.domain) {
                return Err(RecordError::Frame);
            }
            let record = Record::<Entry>::from_body(&block.btype, block.claimed_ts, block.body.clone())?;
            return Ok(record.into());
        }
        let event = LedgerEvent::from_body(&block.btype, block.body.clone())?;
        let fits = match &event {
            LedgerEvent::Conflict { .. } => names::is_name(&block.project) && names::is_name(&block.domain),
            LedgerEvent::RoleGranted(role) | LedgerEvent::RoleRevoked(role) => {
                block.domain.is_empty() && role.fits_project(&block.project)
            }
            LedgerEvent::Opened { .. } | LedgerEvent::Restored { .. } => {
                block.project.is_empty() && block.domain.is_empty()
            }
        };
        if fits && block.claimed_ts == block.ts {
            Ok(Body::Ledger(event))
        } else {
            Err(RecordError::Frame)
        }
    }
}

impl Body {
    /// The same as a record of an environment, if it can be one: the note that a record was refused may be either's.
    pub fn into_environment(self) -> Option<EnvRecord> {
        match self {
            Self::Environment(record) => Some(record),
            Self::Run(Record {
                run,
                n,
                claimed_ts,
                transition,
            }) => Some(Record {
                run,
                n,
                claimed_ts,
                transition: Entry::Run(transition).into_environment()?,
            }),
            Self::Ledger(_) => None,
        }
    }
}

impl From<Record<Entry>> for Body {
    fn from(record: Record<Entry>) -> Self {
        let Record {
            run,
            n,
            claimed_ts,
            transition,
        } = record;
        match transition {
            Entry::Run(transition) => Self::Run(Record {
                run,
                n,
                claimed_ts,
                transition,
            }),
            Entry::Environment(transition) => Self::Environment(Record {
                run,
                n,
                claimed_ts,
                transition,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
