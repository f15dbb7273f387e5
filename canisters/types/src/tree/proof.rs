//! Inclusion and consistency proofs (RFC 9162 §2.1.3 and §2.1.4).

use thiserror::Error;

use super::{NodeSource, TreeError, fetch, fold, leaf_hash, node_hash, peaks};
use crate::value::Hash;

/// Why a proof proves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProofError {
    /// Index and size, or the two sizes, do not fit together.
    #[error("index and sizes of the proof do not fit together")]
    Range,
    /// The proof has more or fewer hashes than it must.
    #[error("the proof has the wrong number of hashes")]
    Length,
    /// The proof leads to another root.
    #[error("the proof leads to another root")]
    Root,
}

/// PATH(index, size): the hashes that lead from a leaf to the root, lowest first.
///
/// # Errors
/// If there is no such leaf or a node is missing.
pub fn inclusion<N: NodeSource + ?Sized>(nodes: &N, index: u64, size: u64) -> Result<Vec<Hash>, TreeError> {
    if index >= size {
        return Err(TreeError::NoLeaf { index, size });
    }
    let mut path = Vec::new();
    let (mut from, mut to) = (0, size);
    while to - from > 1 {
        let middle = from + split(to - from);
        if index < middle {
            path.push(subtree(nodes, middle, to)?);
            to = middle;
        } else {
            path.push(subtree(nodes, from, middle)?);
            from = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// Checks an inclusion proof as RFC 9162 §2.1.3.2 says.
///
/// # Errors
/// If it does not prove that the block is leaf `index` of the tree of `size` with that root.
pub fn verify_inclusion(
    block: &Hash,
    index: u64,
    size: u64,
    path: &[Hash],
    root: &Hash,
) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Range);
    }
    let (mut fn_, mut sn) = (index, size - 1);
    let mut hash = leaf_hash(block);
    for step in path {
        if sn == 0 {
            return Err(ProofError::Length);
        }
        if fn_ & 1 == 1 || fn_ == sn {
            hash = node_hash(step, &hash);
            while fn_ & 1 == 0 && fn_ != 0 {
                fn_ >>= 1;
                sn >>= 1;
            }
        } else {
            hash = node_hash(&hash, step);
        }
        fn_ >>= 1;
        sn >>= 1;
    }
    if sn != 0 {
        return Err(ProofError::Length);
    }
    if hash == *root {
        Ok(())
    } else {
        Err(ProofError::Root)
    }
}

/// PROOF(old, new): what shows that the tree of `new` leaves begins with the tree of `old` leaves.
///
/// # Errors
/// If not 0 < old ≤ new, or a node is missing.
pub fn consistency<N: NodeSource + ?Sized>(nodes: &N, old: u64, new: u64) -> Result<Vec<Hash>, TreeError> {
    if old == 0 || old > new {
        return Err(TreeError::NoPair { old, new });
    }
    let mut proof = Vec::new();
    let (mut from, mut to) = (0, new);
    // SUBPROOF from the top: whether the part in view is still the whole old tree, which the verifier knows.
    let mut known = true;
    while to != old {
        let middle = from + split(to - from);
        if old <= middle {
            proof.push(subtree(nodes, middle, to)?);
            to = middle;
        } else {
            proof.push(subtree(nodes, from, middle)?);
            from = middle;
            known = false;
        }
    }
    if !known {
        proof.push(subtree(nodes, from, to)?);
    }
    proof.reverse();
    Ok(proof)
}

/// Checks a consistency proof as RFC 9162 §2.1.4.2 says.
///
/// # Errors
/// If it does not prove that the newer tree begins with the older one.
pub fn verify_consistency(
    old: u64,
    new: u64,
    old_root: &Hash,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old == 0 || old > new {
        return Err(ProofError::Range);
    }
    if old == new {
        return match (proof.is_empty(), old_root == new_root) {
            (false, _) => Err(ProofError::Length),
            (true, false) => Err(ProofError::Root),
            (true, true) => Ok(()),
        };
    }
    let (first, rest) = if old.is_power_of_two() {
        (*old_root, proof)
    } else {
        let (first, rest) = proof.split_first().ok_or(ProofError::Length)?;
        (*first, rest)
    };
    let (mut fn_, mut sn) = (old - 1, new - 1);
    while fn_ & 1 == 1 {
        fn_ >>= 1;
        sn >>= 1;
    }
    let (mut older, mut newer) = (first, first);
    for step in rest {
        if sn == 0 {
            return Err(ProofError::Length);
        }
        if fn_ & 1 == 1 || fn_ == sn {
            older = node_hash(step, &older);
            newer = node_hash(step, &newer);
            while fn_ & 1 == 0 && fn_ != 0 {
                fn_ >>= 1;
                sn >>= 1;
            }
        } else {
            newer = node_hash(&newer, step);
        }
        fn_ >>= 1;
        sn >>= 1;
    }
    if sn != 0 {
        return Err(ProofError::Length);
    }
    if older == *old_root && newer == *new_root {
        Ok(())
    } else {
        Err(ProofError::Root)
    }
}

/// The largest power of two smaller than `width`, which is at least 2.
fn split(width: u64) -> u64 {
    1 << (width - 1).ilog2()
}

/// The hash over leaves `from..to`, a range that occurs in RFC 9162's recursion.
fn subtree<N: NodeSource + ?Sized>(nodes: &N, from: u64, to: u64) -> Result<Hash, TreeError> {
    let hashes = peaks(from, to)
        .map(|(level, index)| fetch(nodes, level, index))
        .collect::<Result<Vec<Hash>, TreeError>>()?;
    fold(hashes.into_iter()).ok_or(TreeError::NoLeaf {
        index: from,
        size: to,
    })
}
