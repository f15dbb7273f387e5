//! Starting, stopping, emptying and deleting canisters.
//!
//! Without inter-canister calls no call context outlives its message, so stopping is immediate.

use super::nothing;
use crate::exec::machine::Machine;
use crate::heap::stable::Stable;
use crate::heap::wasm_memory::Heap;
use crate::state::canister::{Canister, Status};
use crate::state::request::Reject;
use ic_error_types::ErrorCode;

fn set_status(machine: &mut Machine, canister: &Canister, status: Status) -> Result<Vec<u8>, Reject> {
    if canister.status != status {
        let mut next = canister.clone();
        next.status = status;
        next.version += 1;
        machine.commit(next, &(Vec::new(), Vec::new()));
    }
    nothing()
}

/// `start_canister`.
pub fn start(machine: &mut Machine, canister: &Canister) -> Result<Vec<u8>, Reject> {
    set_status(machine, canister, Status::Running)
}

/// `stop_canister`.
pub fn stop(machine: &mut Machine, canister: &Canister) -> Result<Vec<u8>, Reject> {
    set_status(machine, canister, Status::Stopped)
}

/// `uninstall_code`.
pub fn uninstall(machine: &mut Machine, canister: &Canister) -> Result<Vec<u8>, Reject> {
    let mut next = canister.clone();
    next.code = None;
    next.heap = Heap::default();
    next.stable = Stable::default();
    next.certified = Vec::new();
    next.version += 1;
    machine.commit(next, &(Vec::new(), Vec::new()));
    nothing()
}

/// `delete_canister`.
pub fn delete(machine: &mut Machine, canister: &Canister) -> Result<Vec<u8>, Reject> {
    if canister.status != Status::Stopped {
        return Err(Reject::new(
            ErrorCode::CanisterNotStopped,
            format!("Canister {} must be stopped before it is deleted.", canister.id),
        ));
    }
    machine.remove(&canister.id);
    nothing()
}
