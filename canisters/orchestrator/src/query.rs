//! What anybody may ask.

use dcanary_types::{
    Hash, api, limits,
    tree::{self, TreeError},
};
use ic_stable_structures::Memory;
use serde_bytes::ByteBuf;

use crate::{
    journal::Ledger,
    store::{RunKey, StoreError},
};

/// Versions of the interface that this canister speaks.
const PROTOCOL: api::Protocol = api::Protocol { min: 1, max: 1 };

impl<M: Memory + Clone> Ledger<M> {
    /// Encoded blocks from `start` on: as many as were asked for, exist and fit into an answer.
    pub fn blocks(&self, start: u64, length: u64) -> Vec<ByteBuf> {
        let mut left = limits::MAX_ANSWER_BYTES;
        let end = start
            .saturating_add(length.min(limits::MAX_ANSWER_BLOCKS))
            .min(self.store.size());
        let mut blocks = Vec::new();
        for index in start..end {
            let Some(block) = self.store.block_bytes(index) else {
                break;
            };
            if block.len() > left {
                break;
            }
            left -= block.len();
            blocks.push(ByteBuf::from(block));
        }
        blocks
    }

    /// The inclusion proof of a block in the tree of the first `size` blocks.
    ///
    /// # Errors
    /// Only [`StoreError`]: a node that must be there is not.
    pub fn inclusion(&self, index: u64, size: u64) -> Result<api::ProofResult, StoreError> {
        if size > self.store.size() {
            return Ok(self.out_of_range());
        }
        self.proof(tree::inclusion(self, index, size))
    }

    /// The consistency proof from the tree of `old` to that of `new` blocks.
    ///
    /// # Errors
    /// Only [`StoreError`]: a node that must be there is not.
    pub fn consistency(&self, old: u64, new: u64) -> Result<api::ProofResult, StoreError> {
        if new > self.store.size() {
            return Ok(self.out_of_range());
        }
        self.proof(tree::consistency(self, old, new))
    }

    fn proof(&self, proof: Result<Vec<Hash>, TreeError>) -> Result<api::ProofResult, StoreError> {
        match proof {
            Ok(hashes) => Ok(Ok(hashes.into_iter().map(ByteBuf::from).collect())),
            Err(TreeError::NoLeaf { .. } | TreeError::NoPair { .. }) => Ok(self.out_of_range()),
            Err(TreeError::Missing(_)) => Err(StoreError::Missing("tree node")),
        }
    }

    fn out_of_range(&self) -> api::ProofResult {
        Err(api::ProofError::OutOfRange {
            size: self.store.size(),
        })
    }

    /// Where a run stands; nothing if it never began.
    ///
    /// # Errors
    /// Only [`StoreError`].
    pub fn run_position(
        &self,
        project: &str,
        domain: &str,
        run: &str,
    ) -> Result<Option<api::RunPosition>, StoreError> {
        let Some(entry) = self.store.run(&RunKey::new(project, domain, run))? else {
            return Ok(None);
        };
        let last = entry.next.saturating_sub(1);
        let last_block = self
            .store
            .receipt(entry.id, last)
            .ok_or(StoreError::Missing("receipt"))?;
        Ok(Some(api::RunPosition {
            next: entry.next,
            outcome: entry.outcome,
            last_block,
        }))
    }

    /// The blocks of a run's records from number `from` on.
    ///
    /// # Errors
    /// Only [`StoreError`].
    pub fn run_blocks(
        &self,
        project: &str,
        domain: &str,
        run: &str,
        from: u64,
        limit: u64,
    ) -> Result<Vec<u64>, StoreError> {
        let Some(entry) = self.store.run(&RunKey::new(project, domain, run))? else {
            return Ok(Vec::new());
        };
        let limit = usize::try_from(limit.min(limits::MAX_ANSWER_INDEXES)).unwrap_or(usize::MAX);
        Ok(self.store.receipts_from(entry.id, from, limit))
    }

    /// The graph document of an open run.
    ///
    /// # Errors
    /// Only [`StoreError`].
    pub fn run_graph(&self, project: &str, domain: &str, run: &str) -> Result<Option<ByteBuf>, StoreError> {
        let entry = self.store.run(&RunKey::new(project, domain, run))?;
        Ok(entry
            .and_then(|entry| self.store.graph(entry.id))
            .map(ByteBuf::from))
    }

    /// The encoded policy document.
    ///
    /// # Errors
    /// Only [`StoreError`].
    pub fn policy(&self) -> Result<ByteBuf, StoreError> {
        Ok(ByteBuf::from(self.store.policy(self.header.policy)?.encode()))
    }

    /// Whether a principal holds any role.
    pub fn has_role(&self, principal: &[u8]) -> bool {
        self.store.has_role(principal)
    }

    /// The ceilings.
    pub fn limits(&self) -> api::Limits {
        api::Limits {
            batch_records: limits::MAX_BATCH_RECORDS as u64,
            batch_bytes: limits::MAX_BATCH_BYTES as u64,
            body_bytes: limits::MAX_BODY_BYTES as u64,
            graph_bytes: limits::MAX_GRAPH_BYTES as u64,
            answer_bytes: limits::MAX_ANSWER_BYTES as u64,
            messages_an_hour: self.ceilings.messages_an_hour,
            bytes_an_hour: self.ceilings.bytes_an_hour,
            open_runs: self.ceilings.open_runs,
            roles: self.ceilings.roles,
            journal_blocks: self.ceilings.journal_blocks,
            journal_bytes: self.ceilings.journal_bytes,
        }
    }

    /// How the ledger does; instruction counts are for the canister to fill in.
    pub fn stats(&self) -> api::Stats {
        api::Stats {
            blocks: self.store.size(),
            bytes: self.store.bytes(),
            incarnation: self.header.incarnation,
            upgrade_instructions: 0,
            append_instructions: 0,
        }
    }
}

/// The versions of the interface.
pub fn protocol() -> api::Protocol {
    PROTOCOL
}
