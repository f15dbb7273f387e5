//! Starting, stopping, emptying and deleting canisters.
//!
//! Without inter-canister calls no call context outlives its message, so stopping is immediate.

use super::nothing;
use super::sender::{Sender, note};
use crate::exec::call::Call;
use crate::exec::machine::Machine;
use crate::heap::stable::Stable;
use crate::heap::wasm_memory::Heap;
use crate::state::canister::{Canister, Status};
use crate::state::chunks::Chunks;
use crate::state::request::Reject;
use ic_error_types::ErrorCode;
use ic_management_canister_types::ChangeDetails;

/// The version is counted up also where the status stays as it is (specification, "Starting a canister").
fn set_status(machine: &mut Machine, canister: &Canister, status: Status) -> Result<Vec<u8>, Reject> {
    let mut next = canister.clone();
    next.status = status;
    next.version += 1;
    machine.commit(next, &(Vec::new(), Vec::new()));
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

/// `uninstall_code`. Cycles, settings, history and status stay; what was printed and the chunk store go too.
pub fn uninstall(
    machine: &mut Machine,
    canister: &Canister,
    call: &Call,
    sender: &Sender,
) -> Result<Vec<u8>, Reject> {
    let mut next = canister.clone();
    next.code = None;
    next.heap = Heap::default();
    next.stable = Stable::default();
    next.certified = Vec::new();
    next.installed = None;
    next.chunks = Chunks::default();
    next.logs.purge();
    next.version += 1;
    note(&mut next, call, sender, ChangeDetails::CodeUninstall);
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
