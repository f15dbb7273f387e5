//! The candid types of the journal canister (`canisters/orchestrator/orchestrator.did`), shared with its clients.

use candid::{CandidType, Principal};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// Argument of installing and upgrading.
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum InitArg {
    /// For a new ledger.
    Init {
        /// The first owner.
        owner: Principal,
    },
    /// For a ledger that is there.
    Upgrade,
}

/// Argument of `append`: segments of several runs, each applied whole or refused.
#[derive(Debug, Clone, Default, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Batch {
    /// The segments, in order.
    pub segments: Vec<Segment>,
}

/// Consecutive records of one run.
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Segment {
    /// Project.
    pub project: String,
    /// UID of the run.
    pub run: String,
    /// The graph document; needed where `dcanary_run_opened` is new, ignored elsewhere.
    pub graph: Option<ByteBuf>,
    /// The records, consecutive in `n`.
    pub records: Vec<Record>,
}

/// One record as it is offered.
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Record {
    /// Number within the run; equals the body's.
    pub n: u64,
    /// Block type.
    pub btype: String,
    /// The caller's time in nanoseconds since 1970.
    pub claimed_ts: u64,
    /// Deterministic CBOR of the full body.
    pub body: ByteBuf,
}

impl<T: crate::record::RecordKind> From<&crate::record::Record<T>> for Record {
    fn from(record: &crate::record::Record<T>) -> Self {
        Self {
            n: record.n,
            btype: record.btype().to_owned(),
            claimed_ts: record.claimed_ts,
            body: ByteBuf::from(record.encode_body()),
        }
    }
}

/// Answer of `append`.
pub type BatchResult = Result<Vec<SegmentResult>, BatchError>;

/// What became of one segment.
pub type SegmentResult = Result<Receipt, AppendError>;

/// A segment is recorded.
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Receipt {
    /// Index of the block of each record, in order.
    pub blocks: Vec<u64>,
}

/// Why nothing of a batch was looked at.
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum BatchError {
    /// The caller holds no role at all.
    NotAuthorised,
    /// The argument is not a batch.
    Malformed {
        /// Why.
        reason: String,
    },
    /// More records or segments than a batch takes.
    TooManyRecords {
        /// How many it takes.
        limit: u64,
    },
    /// More bytes than a batch takes.
    TooManyBytes {
        /// How many it takes.
        limit: u64,
    },
    /// The caller has sent too much this hour.
    RateLimited {
        /// When to try again.
        retry_after_s: u64,
    },
}

/// Why a segment was refused; nothing of it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum AppendError {
    /// Another content is recorded at that number.
    Conflict {
        /// The number.
        n: u64,
        /// Index of the block that is recorded there.
        have: u64,
    },
    /// The first record is not the next one of the run, nor one that is recorded.
    Gap {
        /// The next number.
        expected: u64,
    },
    /// The state machine does not allow the record.
    Illegal {
        /// Its number.
        n: u64,
        /// Why, in plain words.
        reason: String,
    },
    /// The record or its segment is not well formed.
    Malformed {
        /// Its number.
        n: u64,
        /// Why, in plain words.
        reason: String,
    },
    /// The run is new and its graph document was not handed over.
    GraphMissing,
    /// The graph document is not the one that the record names.
    GraphMismatch,
    /// The caller may not write runs of the project.
    NotAuthorised,
    /// The journal takes no more records.
    JournalFull,
    /// The caller has too many open runs.
    RunLimit {
        /// How many it may have.
        limit: u64,
    },
    /// The caller has sent too much this hour.
    RateLimited {
        /// When to try again.
        retry_after_s: u64,
    },
}

/// A role as `grant_role` and `revoke_role` take it.
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct RoleArg {
    /// Who.
    pub principal: Principal,
    /// `owner` or `operator`.
    pub role: String,
    /// Project; empty for an owner.
    pub project: String,
    /// Domain; empty for an owner.
    pub domain: String,
}

/// Answer of `grant_role` and `revoke_role`.
pub type RoleResult = Result<RoleReceipt, RoleError>;

/// The policy is as asked for.
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct RoleReceipt {
    /// Version of the policy now.
    pub version: u64,
    /// The block, if the policy changed.
    pub block: Option<u64>,
}

/// Why the policy stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum RoleError {
    /// The caller is no owner.
    NotAuthorised,
    /// The role is not well formed.
    Malformed {
        /// Why, in plain words.
        reason: String,
    },
    /// The principal writes that project under another domain; revoke that first.
    OtherDomain {
        /// The other domain.
        have: String,
    },
    /// The only owner cannot be taken away.
    LastOwner,
    /// There are too many roles.
    TooManyRoles {
        /// How many there may be.
        limit: u64,
    },
    /// The journal takes no more blocks.
    JournalFull,
}

/// Answer of `record_restored`.
pub type RestoreResult = Result<RestoreReceipt, RoleError>;

/// The mark of a restore is recorded.
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct RestoreReceipt {
    /// The new incarnation.
    pub incarnation: u64,
    /// Its block.
    pub block: u64,
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct RunPosition {
    /// The next number.
    pub next: u64,
    /// How it ended, if it did.
    pub outcome: Option<String>,
    /// Index of the block of its last record.
    pub last_block: u64,
}

/// Answer of `inclusion` and `consistency`.
pub type ProofResult = Result<Vec<ByteBuf>, ProofError>;

/// Why there is no proof.
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub enum ProofError {
    /// The index or a size is outside the journal, or they do not fit together.
    OutOfRange {
        /// Number of blocks.
        size: u64,
    },
}

/// Versions of the interface that the canister speaks.
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Protocol {
    /// Oldest.
    pub min: u64,
    /// Newest.
    pub max: u64,
}

/// Ceilings of the canister ([`crate::limits`]).
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Limits {
    /// Most records in a batch.
    pub batch_records: u64,
    /// Most bytes of a batch.
    pub batch_bytes: u64,
    /// Longest body.
    pub body_bytes: u64,
    /// Longest graph document.
    pub graph_bytes: u64,
    /// Most bytes of blocks in an answer.
    pub answer_bytes: u64,
    /// Messages of one principal an hour.
    pub messages_an_hour: u64,
    /// Bytes of one principal an hour.
    pub bytes_an_hour: u64,
    /// Open runs of one principal.
    pub open_runs: u64,
    /// Most roles.
    pub roles: u64,
    /// Blocks that the journal takes.
    pub journal_blocks: u64,
    /// Bytes of blocks that the journal takes.
    pub journal_bytes: u64,
}

/// How the canister does.
#[derive(Debug, Clone, PartialEq, Eq, CandidType, Serialize, Deserialize)]
pub struct Stats {
    /// Number of blocks.
    pub blocks: u64,
    /// Their encoded bytes.
    pub bytes: u64,
    /// How often the ledger was restored.
    pub incarnation: u64,
    /// Instructions of `post_upgrade` of the present wasm, 0 if it was installed anew.
    pub upgrade_instructions: u64,
    /// Instructions of the last `append` since then, 0 if there was none.
    pub append_instructions: u64,
}
