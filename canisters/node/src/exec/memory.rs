//! How much of the node's memory canisters take, and what is left.
//!
//! Sizes count, not what is stored of them, so that the answer is part of the deterministic state.

use crate::heap::pages::PAGE;
use crate::heap::wasm_memory::WASM_PAGE;
use crate::state::State;
use crate::state::canister::Canister;
use crate::state::logs::DEFAULT_LIMIT;
use crate::state::request::Reject;
use crate::wasm::packed::Size;
use ic_error_types::ErrorCode;
use thiserror::Error;

/// What a canister costs that holds nothing: its place in the state, its history, what it prints within the usual limit,
/// and the room of one checkpoint's description.
const CANISTER: u64 = 65_536;
/// What a byte of a module costs: itself, and the code compiled from it.
const MODULE_FACTOR: u64 = 8;
/// What a byte of it costs that is data: itself where it is not compressed, and in the compiled module.
const DATA_FACTOR: u64 = 2;

/// What a byte of heap costs: itself, its copy in the image, and both once more while a message rewrites all of it.
pub const HEAP_FACTOR: u64 = 4;

/// The bytes that a canister counts for. What it may keep of what it prints
/// counts as a whole, so that printing never needs more memory.
pub fn footprint(canister: &Canister) -> u64 {
    let code = canister.code.as_ref();
    CANISTER
        .saturating_add(code.map_or(0, |code| of_module(code.wasm.len(), code.compiled.size)))
        .saturating_add(canister.heap.bytes().saturating_mul(HEAP_FACTOR))
        .saturating_add(canister.stable.size.saturating_mul(WASM_PAGE))
        .saturating_add(canister.chunks.bytes())
        .saturating_add(of_logs(canister.log_limit()))
}

/// What canisters take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryUse {
    /// What counts against the memory limit.
    pub counted: u64,
    /// What is held of their memories: pages that are not zeros.
    pub held: u64,
}

impl MemoryUse {
    /// That of all canisters of a state.
    pub fn of(state: &State) -> Self {
        let mut sum = Self { counted: 0, held: 0 };
        for (_, canister) in state.canisters.iter() {
            let pages = canister.heap.pages.iter().count() + canister.stable.pages.iter().count();
            sum.counted += footprint(canister);
            sum.held += (pages * PAGE) as u64;
        }
        sum
    }
}

/// All canisters together against the limit of the batch.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// What they take.
    pub used: u64,
    /// What they may take.
    pub limit: u64,
}

impl Memory {
    /// That of a state under a limit. Walks over all canisters.
    pub fn of(state: &State, limit: u64) -> Self {
        let footprints = state.canisters.iter().map(|(_, canister)| footprint(canister));
        Self {
            used: footprints.fold(0, u64::saturating_add),
            limit,
        }
    }

    /// What is left.
    pub fn spare(self) -> u64 {
        self.limit.saturating_sub(self.used)
    }

    /// Refuses what would need more than is left.
    pub fn need(self, bytes: u64) -> Result<(), Reject> {
        if bytes <= self.spare() {
            return Ok(());
        }
        Err(Reject::new(
            ErrorCode::SubnetOversubscribed,
            format!(
                "The node's memory limit is reached: its canisters take {} of {} bytes, and this needs {bytes} more. Start \
                 the node with a larger --memory-limit",
                self.used, self.limit
            ),
        ))
    }
}

/// What a new canister needs.
pub fn of_new_canister() -> u64 {
    CANISTER
}

/// What a limit on what a canister prints needs beyond the usual one.
pub fn of_logs(limit: usize) -> u64 {
    limit.saturating_sub(DEFAULT_LIMIT) as u64
}

/// What a module needs that was uploaded as so many bytes. Compressed, a few of them can be many, which the compiled module holds
/// for as long as the canister has it.
pub fn of_module(uploaded: usize, size: Size) -> u64 {
    let compiled = size
        .unpacked
        .saturating_sub(size.plain)
        .saturating_mul(MODULE_FACTOR);
    let data = size.plain.saturating_mul(DATA_FACTOR);
    let uploaded = (uploaded as u64).saturating_mul(MODULE_FACTOR);
    compiled.saturating_add(data).max(uploaded)
}

/// What a heap of so many pages needs.
pub fn of_heap(pages: u64) -> u64 {
    pages.saturating_mul(WASM_PAGE * HEAP_FACTOR)
}

/// What the node takes besides canisters: itself, bodies of requests, finished requests of the last minutes, the module that is
/// being compiled.
const NODE: u64 = 192 << 20;
/// Under this a journal canister cannot begin: each of its memories takes 8 MiB at once, and as much is kept ready.
const LEAST: u64 = 192 << 20;

/// A limit under which no ledger fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a memory limit of {total} bytes is too little: the node needs {least} bytes for a ledger")]
pub struct TooLittleMemory {
    total: u64,
    least: u64,
}

/// What canisters may take of the memory of the whole node. A quarter of what they might have is kept back: a checkpoint holds the
/// older versions of pages that changed since the one before, and pages have an index.
///
/// # Errors
/// When a ledger would not fit.
pub fn memory_of_canisters(total: u64) -> Result<u64, TooLittleMemory> {
    let share = total.saturating_sub(NODE) / 4 * 3;
    if share >= LEAST {
        return Ok(share);
    }
    Err(TooLittleMemory {
        total,
        least: NODE + LEAST.div_ceil(3) * 4,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn canisters_and_the_node_share_the_memory_and_too_little_is_named() {
        assert_eq!(memory_of_canisters(1 << 30).unwrap(), 624 << 20);
        let TooLittleMemory { least, .. } = memory_of_canisters(256 << 20).unwrap_err();
        memory_of_canisters(least).unwrap();
        memory_of_canisters(least - 4).unwrap_err();
        assert!(
            memory_of_canisters(0)
                .unwrap_err()
                .to_string()
                .contains("too little")
        );
    }
}
