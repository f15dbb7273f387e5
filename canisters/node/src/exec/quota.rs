//! How many bytes one canister may hold, so that none takes the disk of the others.
//!
//! What counts is what a canister makes larger itself: heap, stable memory, module and chunk store, by their sizes as
//! `canister_status` tells them. Its history and what it prints are bounded by themselves and not counted, so that neither a
//! trap nor a change of controllers ever needs room.

use super::machine::Machine;
use super::memory::{HEAP_FACTOR, footprint};
use crate::heap::wasm_memory::WASM_PAGE;
use crate::state::canister::Canister;
use crate::state::request::Reject;
use ic_error_types::ErrorCode;

/// The bytes that a canister holds.
pub fn held(canister: &Canister) -> u64 {
    let module = canister.code.as_ref().map_or(0, |code| code.wasm.len() as u64);
    module
        .saturating_add(canister.heap.bytes())
        .saturating_add(canister.stable.size.saturating_mul(WASM_PAGE))
        .saturating_add(canister.chunks.bytes())
}

/// By how many bytes the memories of a canister may grow in one execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Growth {
    /// Within the memory of the node, where heap counts as a multiple.
    pub node: u64,
    /// Within what one canister may hold.
    pub canister: u64,
}

impl Growth {
    /// Of an execution of which nothing is kept: a query or an inspection. Anybody may cause several at once, and the memory is the node's own.
    pub const UNKEPT: Self = Self {
        node: (32 << 20) * HEAP_FACTOR,
        canister: 32 << 20,
    };
}

impl Machine {
    /// By how much a canister may grow in the present batch. It may be a next version of one, of which what it takes beyond the
    /// present one is not spare any more: new code and its heap, and what was grown before an upgrade.
    pub fn growth(&self, canister: &Canister) -> Growth {
        let present = self.state().canister(&canister.id);
        let counted = present.map_or(0, |present| footprint(present));
        Growth {
            node: self
                .memory()
                .spare()
                .saturating_sub(footprint(canister).saturating_sub(counted)),
            canister: self.canister_limit().saturating_sub(held(canister)),
        }
    }

    /// Refuses a next version of a canister that holds more than one may. One that holds too much already, because the node was
    /// started with a smaller limit, goes on and may shrink.
    ///
    /// # Errors
    /// The rejection that the caller gets.
    pub fn check_quota(&self, before: &Canister, next: &Canister) -> Result<(), Reject> {
        let (limit, bytes) = (self.canister_limit(), held(next));
        if bytes <= limit.max(held(before)) {
            return Ok(());
        }
        Err(Reject::new(
            ErrorCode::SubnetOversubscribed,
            format!(
                "Canister {} would hold {bytes} bytes, and the disk quota of a canister on this node is {limit} bytes \
                 (--quota-disk)",
                next.id
            ),
        ))
    }
}
