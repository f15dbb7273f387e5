//! The one place where blocks are made: every append goes through [`Ledger::emit`], which links, hashes, stores and
//! grows the tree, so chain, tree and tip cannot drift apart.

use dcanary_types::{
    Hash, Map,
    block::Block,
    labels::Labels,
    policy::{Policy, Role},
    record::LedgerEvent,
    tree::{Accumulator, NodeSource},
};
use ic_stable_structures::Memory;

use crate::{
    Ceilings, Message,
    entry::Header,
    store::{Store, StoreError},
};

/// A ledger over one stable memory.
pub struct Ledger<M: Memory> {
    pub(crate) store: Store<M>,
    pub(crate) header: Header,
    pub(crate) ceilings: Ceilings,
    tree: Accumulator,
}

/// What a block says before it is linked to the one before.
pub(crate) struct Draft<'a> {
    pub btype: &'a str,
    pub claimed_ts: u64,
    pub project: &'a str,
    pub domain: &'a str,
    pub body: Map,
}

impl<M: Memory + Clone> Ledger<M> {
    /// Begins a ledger: block 0 and its first owner.
    ///
    /// # Errors
    /// If there is a ledger in this memory already.
    pub fn create(
        memory: M,
        message: &Message,
        owner: Vec<u8>,
        ceilings: Ceilings,
    ) -> Result<Self, StoreError> {
        let mut store = Store::open(memory);
        if store.header()?.is_some() || store.size() > 0 {
            return Err(StoreError::NotEmpty);
        }
        let policy = Policy::opened(owner.clone());
        store.set_role(&Role::owner(owner.clone()));
        let header = Header {
            incarnation: 0,
            policy: policy.version,
            policy_hash: policy.hash(),
            roles: 1,
            owners: 1,
            tip: [0; 32],
            runs: 0,
        };
        let mut ledger = Self {
            store,
            header,
            ceilings,
            tree: Accumulator::new(),
        };
        ledger.emit_event(
            message,
            "",
            "",
            &LedgerEvent::Opened {
                owner,
                incarnation: 0,
            },
        )?;
        ledger.save();
        Ok(ledger)
    }

    /// Opens the ledger in this memory. Reads the header and one node for each one bit of the size, never a block.
    ///
    /// # Errors
    /// If there is none, or it was written by a later version.
    pub fn open(memory: M, ceilings: Ceilings) -> Result<Self, StoreError> {
        let store = Store::open(memory);
        let header = store.header()?.ok_or(StoreError::Empty)?;
        let tree = Accumulator::resume(&store, store.size()).map_err(|why| StoreError::Corrupt {
            what: "tree",
            why: why.to_string(),
        })?;
        Ok(Self {
            store,
            header,
            ceilings,
            tree,
        })
    }

    /// What is certified now (section 7 of the format).
    pub fn labels(&self) -> Labels {
        Labels::new(
            self.header.policy_hash,
            self.tree.root(),
            self.store.size(),
            self.header.tip,
        )
    }

    /// The hash of the last block.
    pub fn tip(&self) -> Hash {
        self.header.tip
    }

    /// Whether `blocks` more records of runs fit, leaving the reserve for what the ledger itself must still say.
    pub(crate) fn has_room(&self, blocks: u64, bytes: u64) -> bool {
        let size = self
            .store
            .size()
            .saturating_add(blocks)
            .saturating_add(self.ceilings.journal_reserve);
        size <= self.ceilings.journal_blocks
            && self.store.bytes().saturating_add(bytes) <= self.ceilings.journal_bytes
    }

    /// Whether a block of the ledger itself fits.
    pub(crate) fn has_reserve(&self) -> bool {
        self.store.size() < self.ceilings.journal_blocks
    }

    /// Writes a block that the canister makes of itself.
    pub(crate) fn emit_event(
        &mut self,
        message: &Message,
        project: &str,
        domain: &str,
        event: &LedgerEvent,
    ) -> Result<u64, StoreError> {
        let draft = Draft {
            btype: event.btype(),
            claimed_ts: message.now,
            project,
            domain,
            body: event.body(),
        };
        self.emit(message, draft)
    }

    /// Writes a block behind the last one.
    pub(crate) fn emit(&mut self, message: &Message, draft: Draft<'_>) -> Result<u64, StoreError> {
        let block = Block {
            btype: draft.btype.to_owned(),
            phash: (self.store.size() > 0).then_some(self.header.tip),
            ts: message.now,
            claimed_ts: draft.claimed_ts,
            caller: message.caller.clone(),
            project: draft.project.to_owned(),
            domain: draft.domain.to_owned(),
            policy: self.header.policy,
            body: draft.body,
        };
        let hash = block.hash();
        let nodes = self.tree.append(&hash);
        let index = self.store.push_block(&block.encode(), &nodes)?;
        self.header.tip = hash;
        Ok(index)
    }

    /// Stores the header; once a message is enough.
    pub(crate) fn save(&mut self) {
        self.store.set_header(&self.header);
    }
}

impl<M: Memory> NodeSource for Ledger<M> {
    fn node(&self, position: u64) -> Option<Hash> {
        self.store.node(position)
    }
}
