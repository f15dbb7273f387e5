//! The last head that a client verified, and the rule by which it accepts the next.
//!
//! ```text
//!   new head                        advance
//!   larger, proof holds             accepted
//!   same size, same root            accepted
//!   smaller, certified earlier      stale: a replica lags; ask again
//!   anything else                   LedgerForked: both heads are kept as evidence
//! ```

use dcanary_types::tree::verify_consistency;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::head::{CertifiedHead, Evidence};
use crate::tree::Hash;

/// A head as it is kept between two looks at the ledger. Keep it where only its owner writes: it is believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Canister id of the ledger.
    #[serde(with = "hex::serde")]
    pub ledger: Vec<u8>,
    /// Number of blocks.
    pub size: u64,
    /// Merkle root over them.
    #[serde(with = "hex::serde")]
    pub root: Hash,
    /// When it was certified.
    pub time: u64,
    /// The certificate, evidence should the ledger fork.
    #[serde(with = "hex::serde")]
    pub certificate: Vec<u8>,
    /// The witness, evidence should the ledger fork.
    #[serde(with = "hex::serde")]
    pub hash_tree: Vec<u8>,
}

/// Why a head does not follow the checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AdvanceError {
    /// The head is another ledger's.
    #[error("the head is of another ledger than the checkpoint")]
    OtherLedger,
    /// The head is smaller but was certified before the checkpoint: an old answer, not a contradiction.
    #[error("the head of {head} blocks is older than the checkpoint of {checkpoint}")]
    Stale {
        /// Blocks of the head.
        head: u64,
        /// Blocks of the checkpoint.
        checkpoint: u64,
    },
    /// The ledger does not extend what was verified before.
    #[error(transparent)]
    LedgerForked(Box<LedgerForked>),
}

/// Two certified heads of one ledger, of which the later does not extend the earlier.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "LedgerForked: the ledger of {new_size} blocks does not extend the verified one of {old_size}: {why}"
)]
pub struct LedgerForked {
    /// Blocks of the checkpoint.
    pub old_size: u64,
    /// Blocks of the new head.
    pub new_size: u64,
    /// In which way.
    pub why: Fork,
    /// Certificate and witness of the checkpoint.
    pub old: Evidence,
    /// Certificate and witness of the new head.
    pub new: Evidence,
}

/// In which way a ledger forked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Fork {
    /// It lost blocks.
    #[error("blocks are gone")]
    Smaller,
    /// The proof does not lead from the old root to the new one.
    #[error("the consistency proof does not hold")]
    Inconsistent,
}

impl Checkpoint {
    /// The checkpoint of a head that was checked.
    pub fn of(head: &CertifiedHead) -> Self {
        let evidence = head.evidence().clone();
        Self {
            ledger: head.ledger().to_vec(),
            size: head.size(),
            root: head.root(),
            time: head.time(),
            certificate: evidence.certificate,
            hash_tree: evidence.hash_tree,
        }
    }

    /// Moves on to `head` if `proof`, a consistency proof from this size to the head's, holds. An unchanged ledger
    /// needs an empty proof. On error the checkpoint stays as it is.
    ///
    /// # Errors
    /// [`AdvanceError`]; of these only [`AdvanceError::LedgerForked`] accuses the ledger.
    pub fn advance(&mut self, head: &CertifiedHead, proof: &[Hash]) -> Result<(), AdvanceError> {
        if head.ledger() != self.ledger {
            return Err(AdvanceError::OtherLedger);
        }
        if head.size() < self.size && head.time() < self.time {
            return Err(AdvanceError::Stale {
                head: head.size(),
                checkpoint: self.size,
            });
        }
        let forked = |why| {
            let old = Evidence {
                certificate: self.certificate.clone(),
                hash_tree: self.hash_tree.clone(),
            };
            let new = head.evidence().clone();
            let fork = LedgerForked {
                old_size: self.size,
                new_size: head.size(),
                why,
                old,
                new,
            };
            Err(AdvanceError::LedgerForked(Box::new(fork)))
        };
        if head.size() < self.size {
            return forked(Fork::Smaller);
        }
        if verify_consistency(self.size, head.size(), &self.root, &head.root(), proof).is_err() {
            return forked(Fork::Inconsistent);
        }
        *self = Self::of(head);
        Ok(())
    }
}
