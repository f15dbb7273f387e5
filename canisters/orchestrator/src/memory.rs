//! Where things are in stable memory. A number is never used for anything else, also after what it held is gone.

use std::cell::RefCell;

use ic_stable_structures::{
    Memory,
    memory_manager::{MemoryId, MemoryManager, VirtualMemory},
};

/// Version, policy and incarnation; one value ([`crate::entry::Header`]).
pub const HEADER: MemoryId = MemoryId::new(0);
/// Offsets of the blocks: the index half of a `StableLog`.
pub const BLOCK_INDEX: MemoryId = MemoryId::new(1);
/// Encoded blocks: the data half of the `StableLog`.
pub const BLOCK_DATA: MemoryId = MemoryId::new(2);
/// Nodes of the Merkle tree by position: a `StableVec` of 32 bytes each.
pub const NODES: MemoryId = MemoryId::new(3);
/// Runs and environments: project, domain and UID → [`crate::entry::RunEntry`]. Entries stay for ever.
pub const RUNS: MemoryId = MemoryId::new(4);
/// Receipts: number of the run and number of the record → index of the block. Entries stay for ever.
pub const RECEIPTS: MemoryId = MemoryId::new(5);
/// Graph documents of open runs, by number of the run.
pub const GRAPHS: MemoryId = MemoryId::new(6);
/// States of open runs and environments, by number of the run or environment.
pub const MACHINES: MemoryId = MemoryId::new(7);
/// Roles: principal, role and project → domain.
pub const ROLES: MemoryId = MemoryId::new(8);
/// What principals used of their limits ([`crate::entry::Usage`]).
pub const USAGE: MemoryId = MemoryId::new(9);
/// Conflicts that have their block: number of the run, number of the record, content hash → index of the block.
pub const CONFLICTS: MemoryId = MemoryId::new(10);

/// All of the above, for sums.
const ALL: [MemoryId; 11] = [
    HEADER,
    BLOCK_INDEX,
    BLOCK_DATA,
    NODES,
    RUNS,
    RECEIPTS,
    GRAPHS,
    MACHINES,
    ROLES,
    USAGE,
    CONFLICTS,
];

/// Pages that the manager hands to a memory at once (8 MiB). Part of the layout: it must never change.
pub(crate) const BUCKET_PAGES: u16 = 128;
/// Pages of the manager itself.
const MANAGER_PAGES: u64 = 1;

/// One of the memories.
pub type Part<M> = VirtualMemory<M>;

/// The memories of the canister over one stable memory.
pub struct Memories<M: Memory> {
    whole: M,
    manager: RefCell<MemoryManager<M>>,
}

impl<M: Memory + Clone> Memories<M> {
    /// Opens the memories, or lays them out in an empty stable memory.
    pub fn new(whole: M) -> Self {
        let manager = MemoryManager::init_with_bucket_size(whole.clone(), BUCKET_PAGES);
        Self {
            whole,
            manager: RefCell::new(manager),
        }
    }

    /// One memory.
    pub fn part(&self, id: MemoryId) -> Part<M> {
        self.manager.borrow().get(id)
    }

    /// Makes sure that every memory can take one more bucket, which is more than any message writes into one. The
    /// structures panic when a memory cannot grow; after this they can, so a full subnet is an answer and no trap.
    pub fn reserve(&self) -> bool {
        let bucket = u64::from(BUCKET_PAGES);
        let used: u64 = ALL.iter().map(|id| self.part(*id).size().div_ceil(bucket)).sum();
        let wanted = MANAGER_PAGES + (used + ALL.len() as u64) * bucket;
        let have = self.whole.size();
        wanted <= have || self.whole.grow(wanted - have) >= 0
    }
}
