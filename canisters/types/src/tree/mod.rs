//! The Merkle tree of RFC 9162 §2.1 over block hashes (section 6).
//!
//! All nodes are kept in one list in the order in which they become final: a leaf, then each parent that it
//! completes. A node never changes once written, so proofs are read from the list without computing subtrees anew:
//!
//! ```text
//!   level 2              6
//!   level 1       2             5             9
//!   level 0    0     1       3     4       7     8      10        ← positions; 5 and more leaves
//! ```

mod proof;

pub use proof::{ProofError, consistency, inclusion, verify_consistency, verify_inclusion};

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::value::Hash;

/// Where finished nodes are kept, by position.
pub trait NodeSource {
    /// The node at a position of the list, if it is there.
    fn node(&self, position: u64) -> Option<Hash>;
}

impl NodeSource for [Hash] {
    fn node(&self, position: u64) -> Option<Hash> {
        self.get(usize::try_from(position).ok()?).copied()
    }
}

impl NodeSource for Vec<Hash> {
    fn node(&self, position: u64) -> Option<Hash> {
        self.as_slice().node(position)
    }
}

/// Why the tree cannot answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TreeError {
    /// The list of nodes lacks one that the size promises.
    #[error("the node at position {0} is missing")]
    Missing(u64),
    /// The index is not in a tree of that size.
    #[error("there is no leaf {index} in a tree of {size}")]
    NoLeaf {
        /// The index.
        index: u64,
        /// The size.
        size: u64,
    },
    /// There is no consistency proof between these sizes.
    #[error("there is no consistency proof from a tree of {old} to one of {new}")]
    NoPair {
        /// The older size.
        old: u64,
        /// The newer size.
        new: u64,
    },
}

/// The hash of a leaf: SHA-256(0x00 ‖ block hash).
pub fn leaf_hash(block: &Hash) -> Hash {
    Sha256::new()
        .chain_update([0])
        .chain_update(block)
        .finalize()
        .into()
}

/// The hash of an inner node: SHA-256(0x01 ‖ left ‖ right).
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}

/// How many nodes are final once there are `leaves` leaves: 2·leaves − (number of one bits).
pub fn store_size(leaves: u64) -> u64 {
    2 * leaves - u64::from(leaves.count_ones())
}

/// The position of node `index` of `level` (leaves are level 0) in the list of nodes.
///
/// The node covers leaves `index·2^level` up to `(index+1)·2^level − 1`, so it is final when there are
/// `e = (index+1)·2^level` leaves. Leaf number `e` (counted from one) is written where the list ends with `e − 1`
/// leaves, and behind it the parents it completes, one level each; `e` has at least `level` trailing zeros, so this
/// node is among them, `level` places behind its leaf.
pub fn position(level: u32, index: u64) -> u64 {
    let completed_at = (index + 1) << level;
    store_size(completed_at - 1) + u64::from(level)
}

/// What is needed to append: the roots of the complete subtrees, largest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accumulator {
    size: u64,
    peaks: Vec<Hash>,
}

impl Accumulator {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// The tree of `size` leaves whose nodes are in `nodes`. Reads one node for each one bit of `size`.
    ///
    /// # Errors
    /// If a node is missing.
    pub fn resume<N: NodeSource + ?Sized>(nodes: &N, size: u64) -> Result<Self, TreeError> {
        let peaks = peaks(0, size)
            .map(|(level, index)| fetch(nodes, level, index))
            .collect::<Result<Vec<Hash>, TreeError>>()?;
        Ok(Self { size, peaks })
    }

    /// Number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf and returns the nodes that are final with it, in the order of the list.
    pub fn append(&mut self, block: &Hash) -> Vec<Hash> {
        let mut node = leaf_hash(block);
        let mut done = vec![node];
        let mut rest = self.size;
        while rest & 1 == 1 {
            let Some(left) = self.peaks.pop() else { break };
            node = node_hash(&left, &node);
            done.push(node);
            rest >>= 1;
        }
        self.peaks.push(node);
        self.size += 1;
        done
    }

    /// The Merkle root; of an empty tree SHA-256 of nothing, as RFC 9162 has it.
    pub fn root(&self) -> Hash {
        fold(self.peaks.iter().copied()).unwrap_or_else(|| Sha256::digest([]).into())
    }
}

/// The Merkle root over the first `size` leaves.
///
/// # Errors
/// If a node is missing.
pub fn root<N: NodeSource + ?Sized>(nodes: &N, size: u64) -> Result<Hash, TreeError> {
    Ok(Accumulator::resume(nodes, size)?.root())
}

/// The complete subtrees (level, index) that leaves `from..to` fall into, left to right, where `from` is a multiple
/// of a power of two not smaller than `to - from`.
fn peaks(from: u64, to: u64) -> impl Iterator<Item = (u32, u64)> {
    let width = to - from;
    let mut at = from;
    (0..u64::BITS)
        .rev()
        .filter(move |level| width >> level & 1 == 1)
        .map(move |level| {
            let peak = (level, at >> level);
            at += 1 << level;
            peak
        })
}

/// Joins subtrees, given left to right, from the right: the smaller ones are deeper.
fn fold(peaks: impl DoubleEndedIterator<Item = Hash>) -> Option<Hash> {
    peaks.rev().reduce(|right, left| node_hash(&left, &right))
}

fn fetch<N: NodeSource + ?Sized>(nodes: &N, level: u32, index: u64) -> Result<Hash, TreeError> {
    let position = position(level, index);
    nodes.node(position).ok_or(TreeError::Missing(position))
}

#[cfg(test)]
mod tests;
