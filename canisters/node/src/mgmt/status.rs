//! `canister_status`.
//!
//! Clients decode its record strictly, so it has every field that any known client demands.

use super::encode;
use crate::faults::{Fault, broken};
use crate::heap::wasm_memory::WASM_PAGE;
use crate::state::canister::{Canister, Status};
use crate::state::request::Reject;
use candid::Nat;
use ic_management_canister_types::{
    CanisterStatusResult, CanisterStatusType, MemoryMetrics, QueryStats, StatusVisibility,
};
use ic_principal::Principal;

/// Whether somebody may see the status.
pub fn is_visible(canister: &Canister, caller: &Principal) -> bool {
    if canister.is_controlled_by(caller) || *caller == canister.id {
        return true;
    }
    match &canister.settings.status_visibility {
        StatusVisibility::Controllers => false,
        StatusVisibility::Public => true,
        StatusVisibility::AllowedViewers(viewers) => viewers.contains(caller),
    }
}

/// The status of a canister.
pub fn status(canister: &Canister) -> Result<Vec<u8>, Reject> {
    let zero = || Nat::from(0u8);
    let wasm = canister.code.as_ref().map_or(0, |code| code.wasm.len() as u64);
    let custom: u64 = canister.code.as_ref().map_or(0, |code| {
        code.compiled
            .info
            .metadata
            .values()
            .map(|section| section.content.len() as u64)
            .sum()
    });
    let globals = (canister.heap.globals.len() * size_of::<u64>()) as u64;
    let (heap, stable) = if broken(Fault::StatusWithoutMemory) {
        (0, 0)
    } else {
        (canister.heap.bytes(), canister.stable.size * WASM_PAGE)
    };
    let history = encode(&canister.history.recent.as_ref())?.len() as u64;
    let (chunks, logs) = (canister.chunks.bytes(), canister.logs.bytes());
    let result = CanisterStatusResult {
        status: match canister.status {
            Status::Running => CanisterStatusType::Running,
            Status::Stopping => CanisterStatusType::Stopping,
            Status::Stopped => CanisterStatusType::Stopped,
        },
        // No message waits for a stopped canister.
        ready_for_migration: canister.status == Status::Stopped,
        version: canister.version,
        settings: canister.settings.clone(),
        module_hash: canister.code.as_ref().map(|code| code.hash.to_vec()),
        memory_size: Nat::from(heap + stable + globals + wasm + custom + history + chunks + logs),
        memory_metrics: MemoryMetrics {
            wasm_memory_size: Nat::from(heap),
            stable_memory_size: Nat::from(stable),
            global_memory_size: Nat::from(globals),
            wasm_binary_size: Nat::from(wasm),
            custom_sections_size: Nat::from(custom),
            canister_history_size: Nat::from(history),
            wasm_chunk_store_size: Nat::from(chunks),
            snapshots_size: zero(),
            log_memory_store_size: Nat::from(logs),
        },
        cycles: Nat::from(canister.cycles),
        reserved_cycles: zero(),
        idle_cycles_burned_per_day: zero(),
        query_stats: QueryStats {
            num_calls_total: zero(),
            num_instructions_total: zero(),
            request_payload_bytes_total: zero(),
            response_payload_bytes_total: zero(),
        },
    };
    encode(&result)
}
