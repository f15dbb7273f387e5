//! The ICRC-3 face of the journal.

use candid::Nat;
use dcanary_types::{
    cbor,
    icrc3::{GetBlocksRange, GetBlocksResult, IndexedBlock, SupportedBlockType},
    limits,
    record::BLOCK_TYPES,
};
use ic_stable_structures::Memory;

use crate::{journal::Ledger, store::StoreError};

/// Where the block types are described.
const FORMAT_URL: &str = "https://dcanary.dev/ledger-format";
/// Encoded bytes of blocks in one answer: the candid form of a value is up to twice as long as its CBOR.
const ANSWER_BYTES: usize = limits::MAX_ANSWER_BYTES / 2;
/// Ranges that one question may have.
const MAX_RANGES: usize = 100;

impl<M: Memory + Clone> Ledger<M> {
    /// The blocks of the ranges, in order, as many as fit into an answer.
    ///
    /// # Errors
    /// Only [`StoreError`].
    pub fn icrc3_blocks(&self, ranges: &[GetBlocksRange]) -> Result<GetBlocksResult, StoreError> {
        let size = self.store.size();
        let mut left = ANSWER_BYTES;
        let mut blocks = Vec::new();
        let indexes = ranges.iter().take(MAX_RANGES).flat_map(|range| {
            let start = saturating(&range.start);
            start..start.saturating_add(saturating(&range.length)).min(size)
        });
        for index in indexes.take(usize::try_from(limits::MAX_ANSWER_BLOCKS).unwrap_or(usize::MAX)) {
            let Some(bytes) = self.store.block_bytes(index) else {
                break;
            };
            if bytes.len() > left {
                break;
            }
            left -= bytes.len();
            let block = cbor::decode(&bytes).map_err(|why| StoreError::Corrupt {
                what: "block",
                why: why.to_string(),
            })?;
            blocks.push(IndexedBlock {
                id: Nat::from(index),
                block: block.into(),
            });
        }
        Ok(GetBlocksResult {
            log_length: Nat::from(size),
            blocks,
            archived_blocks: Vec::new(),
        })
    }
}

/// The block types that the journal writes.
pub fn supported_block_types() -> Vec<SupportedBlockType> {
    BLOCK_TYPES
        .iter()
        .map(|block_type| SupportedBlockType {
            block_type: (*block_type).to_owned(),
            url: FORMAT_URL.to_owned(),
        })
        .collect()
}

/// A number of any size as one that an index may have.
fn saturating(n: &Nat) -> u64 {
    u64::try_from(&n.0).unwrap_or(u64::MAX)
}
