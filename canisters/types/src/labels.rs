//! What is certified (section 7): the leaves, in byte order of their labels. The hash tree around them is the
//! canister's to build and the verifier's to rebuild.

use thiserror::Error;

use crate::{
    policy,
    value::{self, Hash},
};

/// Hash of the policy document.
pub const POLICY: &str = "dcanary_policy";
/// Hash of the revocation document.
pub const REVOKED: &str = "dcanary_revoked";
/// Merkle root over all blocks.
pub const ROOT: &str = "dcanary_root";
/// Number of blocks.
pub const SIZE: &str = "dcanary_size";
/// Hash of the last block (ICRC-3).
pub const LAST_BLOCK_HASH: &str = "last_block_hash";
/// Index of the last block (ICRC-3).
pub const LAST_BLOCK_INDEX: &str = "last_block_index";

/// All labels in byte order.
pub const ALL: [&str; 6] = [POLICY, REVOKED, ROOT, SIZE, LAST_BLOCK_HASH, LAST_BLOCK_INDEX];

/// The certified state of a ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// Hash of the policy document.
    pub policy: Hash,
    /// Hash of the revocation document.
    pub revoked: Hash,
    /// Merkle root over all blocks.
    pub root: Hash,
    /// Number of blocks, at least 1.
    pub size: u64,
    /// Hash of the last block.
    pub last_block_hash: Hash,
}

/// Why leaves are not those of section 7.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LabelError {
    /// The labels are not exactly those of section 7.
    #[error("the certified labels are {0:?}, not exactly those of the format")]
    Labels(Vec<String>),
    /// A leaf has the wrong length or encoding.
    #[error("label `{0}` holds something else than it must")]
    Leaf(&'static str),
    /// Size and index of the last block disagree.
    #[error("`dcanary_size` is {size} and `last_block_index` is {last}")]
    Disagree {
        /// The size.
        size: u64,
        /// The index.
        last: u64,
    },
}

impl Labels {
    /// The certified state of a ledger without revocations, as this version always is.
    pub fn new(policy: Hash, root: Hash, size: u64, last_block_hash: Hash) -> Self {
        Self {
            policy,
            revoked: policy::revocations().hash(),
            root,
            size,
            last_block_hash,
        }
    }

    /// Labels and leaves, in byte order.
    pub fn leaves(&self) -> [(&'static str, Vec<u8>); 6] {
        [
            (POLICY, self.policy.to_vec()),
            (REVOKED, self.revoked.to_vec()),
            (ROOT, self.root.to_vec()),
            (SIZE, value::leb128(self.size)),
            (LAST_BLOCK_HASH, self.last_block_hash.to_vec()),
            (LAST_BLOCK_INDEX, value::leb128(self.size.saturating_sub(1))),
        ]
    }

    /// Reads labels and leaves as a witness reveals them, in the witness's order.
    ///
    /// # Errors
    /// If they are not exactly those of section 7, or contradict each other.
    pub fn from_leaves(leaves: &[(&[u8], &[u8])]) -> Result<Self, LabelError> {
        if !leaves
            .iter()
            .map(|(label, _)| *label)
            .eq(ALL.iter().map(|label| label.as_bytes()))
        {
            let found = leaves
                .iter()
                .map(|(label, _)| String::from_utf8_lossy(label).into_owned());
            return Err(LabelError::Labels(found.collect()));
        }
        let hash = |i: usize| Hash::try_from(leaves[i].1).map_err(|_| LabelError::Leaf(ALL[i]));
        let nat = |i: usize| value::read_leb128(leaves[i].1).ok_or(LabelError::Leaf(ALL[i]));
        let labels = Self {
            policy: hash(0)?,
            revoked: hash(1)?,
            root: hash(2)?,
            size: nat(3)?,
            last_block_hash: hash(4)?,
        };
        let last = nat(5)?;
        if last.checked_add(1) == Some(labels.size) {
            Ok(labels)
        } else {
            Err(LabelError::Disagree {
                size: labels.size,
                last,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_in_byte_order_and_read_back() {
        assert!(ALL.is_sorted_by(|a, b| a.as_bytes() < b.as_bytes()));
        let labels = Labels::new([1; 32], [2; 32], 300, [3; 32]);
        let leaves = labels.leaves();
        let seen: Vec<(&[u8], &[u8])> = leaves
            .iter()
            .map(|(label, leaf)| (label.as_bytes(), leaf.as_slice()))
            .collect();
        assert_eq!(Labels::from_leaves(&seen), Ok(labels));
        assert!(matches!(
            Labels::from_leaves(&seen[1..]),
            Err(LabelError::Labels(_))
        ));
        let mut swapped = seen.clone();
        swapped.swap(0, 1);
        assert!(matches!(
            Labels::from_leaves(&swapped),
            Err(LabelError::Labels(_))
        ));
    }

    #[test]
    fn leaves_that_contradict_each_other_are_refused() {
        let leaves = Labels::new([1; 32], [2; 32], 5, [3; 32]).leaves();
        let with = |i: usize, leaf: &'static [u8]| {
            let mut seen: Vec<(&[u8], &[u8])> = leaves
                .iter()
                .map(|(label, leaf)| (label.as_bytes(), leaf.as_slice()))
                .collect();
            seen[i].1 = leaf;
            Labels::from_leaves(&seen)
        };
        assert_eq!(with(3, &[6]), Err(LabelError::Disagree { size: 6, last: 4 }));
        assert_eq!(with(3, &[0x85, 0]), Err(LabelError::Leaf(SIZE)));
        assert_eq!(with(2, &[0; 31]), Err(LabelError::Leaf(ROOT)));
    }
}
