//! What this crate asks of a ledger. Deciding code sees only this trait.

use async_trait::async_trait;
use dcanary_types::Hash;

use crate::{
    error::LedgerError,
    record::{Answer, RunKey, Segment},
};

/// A head of the ledger that was checked and extends the checkpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Number of blocks.
    pub size: u64,
    /// Merkle root over them.
    pub root: Hash,
    /// Hash of the last block.
    pub last_hash: Hash,
    /// Hash of the policy document.
    pub policy_hash: Hash,
    /// The network's time, nanoseconds since 1970.
    pub time: u64,
    /// The certificate, as received.
    pub certificate: Vec<u8>,
    /// The witness, as received.
    pub hash_tree: Vec<u8>,
}

/// Where a run stands on the chain, proven by the head unless it stands at the start.
///
/// A network that conceals records can only claim less than there is; then they are offered again and give their first receipt.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Position {
    /// Number of the next record; 0 for a run that is not on the chain.
    pub next: u64,
    /// Block and content hash of the last record.
    pub last: Option<(u64, Hash)>,
}

/// The answers to a batch and the head that holds what was recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// One answer for each segment, in order.
    pub answers: Vec<Answer>,
    /// The head afterwards, checked.
    pub head: Head,
}

/// The journal as its writer and its readers see it. Every answer of an implementation is checked before it is returned.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Whether the canister speaks a version of the interface that this client speaks.
    async fn ready(&self) -> Result<(), LedgerError>;
    /// Appends a batch; returns once the answer is certified and the head behind it extends the checkpoint.
    async fn append(&self, batch: &[Segment]) -> Result<Appended, LedgerError>;
    /// Where a run stands.
    async fn position(&self, key: &RunKey) -> Result<Position, LedgerError>;
    /// The certified head, with a consistency proof from the checkpoint, which moves on to it.
    async fn head(&self) -> Result<Head, LedgerError>;
    /// Encoded blocks from `start` on, at most `length`, perhaps fewer. Not proven: check them against a head.
    async fn blocks(&self, start: u64, length: u64) -> Result<Vec<Vec<u8>>, LedgerError>;
    /// The inclusion proof of a block in the tree of `size` blocks. Not proven until checked.
    async fn inclusion(&self, index: u64, size: u64) -> Result<Vec<Hash>, LedgerError>;
    /// The consistency proof between two sizes. Not proven until checked.
    async fn consistency(&self, from: u64, to: u64) -> Result<Vec<Hash>, LedgerError>;
    /// Indexes of all blocks of a run, by number. Not proven until checked.
    async fn run_blocks(&self, key: &RunKey) -> Result<Vec<u64>, LedgerError>;
    /// The graph document of a run, while the journal keeps it. Not proven: compare its hash with the run's first block.
    async fn run_graph(&self, key: &RunKey) -> Result<Option<Vec<u8>>, LedgerError>;
    /// The policy document. Not proven: compare its hash with the head's.
    async fn policy(&self) -> Result<Vec<u8>, LedgerError>;
    /// Writes down now what a restarted client has to remember, whatever the interval: before the program stops.
    async fn keep(&self) -> Result<(), LedgerError> {
        Ok(())
    }
}
