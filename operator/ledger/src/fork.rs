//! When a ledger is accused of a fork, and what proves it to somebody who trusts nobody here.
//!
//! ```text
//!   certified later with fewer blocks          Smaller
//!   same size, other root                      OtherRoot
//!   more blocks, of which the first are others OtherPrefix, with the proof of what they are
//!   more blocks, and a proof that leads astray one replica answered badly: refused, asked again
//! ```
//! A consistency proof that does not hold says nothing of the ledger: whoever answers the query can spoil it. So a larger head
//! is accused only when its own tree shows another beginning. The inclusion proof of block `m` shows it: the siblings on
//! its left are exactly the first `m` blocks.

use std::fmt;

use dcanary_types::{
    Hash,
    tree::{node_hash, verify_inclusion},
    value::sha256,
};
use serde::{Deserialize, Serialize};

use crate::{checkpoint::Checkpoint, error::LedgerError};

/// In which way a ledger forked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fork {
    /// A later head has fewer blocks.
    Smaller,
    /// Two heads of one size have two roots.
    OtherRoot,
    /// The larger head begins with other blocks.
    OtherPrefix,
}

impl fmt::Display for Fork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Smaller => "blocks are gone",
            Self::OtherRoot => "there is another history of the same length",
            Self::OtherPrefix => "it begins with other blocks",
        })
    }
}

/// Shows what a tree begins with: the inclusion proof of the block that follows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrefixProof {
    /// Hash of the first block that is not part of the beginning.
    #[serde(with = "hex::serde")]
    pub block: Hash,
    /// Its inclusion proof in the larger tree, 32 bytes a step.
    #[serde(with = "hex::serde")]
    pub path: Vec<u8>,
}

impl PrefixProof {
    /// A proof of these hashes.
    pub fn new(block: Hash, path: &[Hash]) -> Self {
        Self {
            block,
            path: path.concat(),
        }
    }

    /// The root of the first `prefix` blocks of the tree of `size` blocks with that root. `None` when the proof does not hold.
    pub fn root(&self, prefix: u64, size: u64, root: &Hash) -> Option<Hash> {
        let (path, rest) = self.path.as_chunks::<32>();
        if !rest.is_empty() {
            return None;
        }
        verify_inclusion(&self.block, prefix, size, path, root).ok()?;
        let (mut at, mut last) = (prefix, size - 1);
        let mut beginning = None;
        for step in path {
            if at & 1 == 1 || at == last {
                beginning = Some(beginning.map_or(*step, |right| node_hash(step, &right)));
                while at & 1 == 0 && at != 0 {
                    at >>= 1;
                    last >>= 1;
                }
            }
            at >>= 1;
            last >>= 1;
        }
        beginning
    }
}

/// Two validly certified heads of one ledger that cannot both be true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkEvidence {
    /// In which way.
    pub why: Fork,
    /// What was verified before, with its certificate.
    pub seen: Checkpoint,
    /// What the network shows now, with its certificate.
    pub shown: Checkpoint,
    /// What the larger tree begins with, for [`Fork::OtherPrefix`].
    pub prefix: Option<PrefixProof>,
}

impl ForkEvidence {
    /// A name for the contradiction: the same for the same two histories, however often and whenever they are certified.
    pub fn id(&self) -> Hash {
        let side = |head: &Checkpoint| [head.size.to_be_bytes().as_slice(), &head.root].concat();
        sha256(
            &[
                b"dcanary-fork-v1".as_slice(),
                &sha256(&self.seen.ledger),
                &side(&self.seen),
                &side(&self.shown),
            ]
            .concat(),
        )
    }
}

impl fmt::Display for ForkEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "LedgerForked: the ledger of {} blocks does not extend the verified one of {}: {}",
            self.shown.size, self.seen.size, self.why
        )
    }
}

/// What a head means that does not extend what was seen, and is not merely old.
pub(crate) fn accuse(seen: Checkpoint, shown: Checkpoint, prefix: Option<PrefixProof>) -> LedgerError {
    let why = match shown.size.cmp(&seen.size) {
        std::cmp::Ordering::Less => Fork::Smaller,
        std::cmp::Ordering::Equal => Fork::OtherRoot,
        std::cmp::Ordering::Greater => {
            let beginning = prefix
                .as_ref()
                .and_then(|proof| proof.root(seen.size, shown.size, &shown.root));
            if beginning.is_none_or(|root| root == seen.root) {
                return LedgerError::unproven(
                    format!("that {} blocks begin with the {} seen", shown.size, seen.size),
                    "the consistency proof does not hold; ask again",
                );
            }
            Fork::OtherPrefix
        }
    };
    LedgerError::Forked(std::sync::Arc::new(ForkEvidence {
        why,
        seen,
        shown,
        prefix,
    }))
}

#[cfg(test)]
mod tests {
    use dcanary_types::tree::{Accumulator, inclusion};
    use proptest::prelude::*;

    use super::*;

    /// The root of some blocks, and all nodes over them.
    fn tree(blocks: &[Hash]) -> (Hash, Vec<Hash>) {
        let mut tree = Accumulator::new();
        let nodes = blocks.iter().flat_map(|block| tree.append(block)).collect();
        (tree.root(), nodes)
    }

    fn checkpoint(size: u64, root: Hash) -> Checkpoint {
        Checkpoint {
            ledger: vec![1],
            size,
            root,
            time: size,
            certificate: vec![1],
            hash_tree: vec![2],
        }
    }

    proptest! {
        #[test]
        fn the_inclusion_proof_of_the_next_block_shows_what_a_tree_begins_with(
            size in 2u64..80, at in 0u64..80, flip in any::<prop::sample::Index>(),
        ) {
            let prefix = 1 + at % (size - 1);
            let blocks: Vec<Hash> = (0..size).map(|n| sha256(&n.to_be_bytes())).collect();
            let (root, nodes) = tree(&blocks);
            let cut = usize::try_from(prefix).unwrap();
            let mut proof = PrefixProof::new(blocks[cut], &inclusion(&nodes, prefix, size).unwrap());
            let (beginning, _) = tree(&blocks[..cut]);
            prop_assert_eq!(proof.root(prefix, size, &root), Some(beginning));
            let at = flip.index(proof.path.len());
            proof.path[at] ^= 1;
            prop_assert_eq!(proof.root(prefix, size, &root), None);
        }
    }

    #[test]
    fn a_larger_head_is_accused_only_by_its_own_tree() {
        let blocks = [[1; 32], [2; 32], [3; 32]];
        let (root, nodes) = tree(&blocks);
        let (two, _) = tree(&blocks[..2]);
        let proof = PrefixProof::new(blocks[2], &inclusion(&nodes, 2, 3).unwrap());
        let other = accuse(checkpoint(2, [9; 32]), checkpoint(3, root), Some(proof.clone()));
        assert!(
            matches!(&other, LedgerError::Forked(fork) if fork.why == Fork::OtherPrefix),
            "{other}"
        );
        let mut spoilt = proof.clone();
        spoilt.path[0] ^= 1;
        for (seen, proof) in [([9; 32], None), ([9; 32], Some(spoilt)), (two, Some(proof))] {
            let error = accuse(checkpoint(2, seen), checkpoint(3, root), proof);
            assert!(matches!(error, LedgerError::Unproven { .. }), "{error}");
        }
    }

    #[test]
    fn one_contradiction_has_one_name_whenever_it_is_certified() {
        let name = |time, root| {
            let shown = Checkpoint {
                time,
                certificate: vec![3],
                ..checkpoint(1, root)
            };
            let LedgerError::Forked(evidence) = accuse(checkpoint(2, [9; 32]), shown, None) else {
                panic!("a fork")
            };
            evidence.id()
        };
        assert_eq!(name(5, [1; 32]), name(6, [1; 32]));
        assert_ne!(name(5, [1; 32]), name(5, [2; 32]));
    }
}
