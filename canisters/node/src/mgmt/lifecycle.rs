//! Starting, stopping, emptying and deleting canisters.

use super::nothing;
use super::sender::{Sender, note};
use crate::exec::call::Call;
use crate::exec::machine::Machine;
use crate::faults::{Fault, broken};
use crate::heap::stable::Stable;
use crate::heap::wasm_memory::Heap;
use crate::state::canister::{Canister, Status};
use crate::state::chunks::Chunks;
use crate::state::request::Reject;
use ic_error_types::ErrorCode;
use ic_management_canister_types::ChangeDetails;

/// The version is counted up also where the status stays as it is (specification, "Starting a canister").
fn set_status(machine: &mut Machine, canister: &Canister, status: Status) {
    let mut next = canister.clone();
    next.status = status;
    next.version += 1;
    machine.commit(next, &(Vec::new(), Vec::new()));
}

/// `start_canister`. Who waits for the canister to stop waits in vain.
pub fn start(machine: &mut Machine, canister: &Canister) -> Result<Vec<u8>, Reject> {
    set_status(machine, canister, Status::Running);
    if canister.status == Status::Stopping {
        let cancelled = Reject::new(
            ErrorCode::CanisterStoppingCancelled,
            format!(
                "Canister {}'s stop request was cancelled because the canister was started.",
                canister.id
            ),
        );
        let outcome = if broken(Fault::StartEndsStopWell) {
            nothing()
        } else {
            Err(cancelled)
        };
        machine.answer_stops(&canister.id, &outcome);
    }
    nothing()
}

/// `stop_canister`. It is answered when no call context is open any more: `None` when that is later.
pub fn stop(
    machine: &mut Machine,
    canister: &Canister,
    sender: &mut Sender,
) -> Result<Option<Vec<u8>>, Reject> {
    if !machine.state().calls.is_open(&canister.id) || broken(Fault::StopDoesNotWait) {
        set_status(machine, canister, Status::Stopped);
        return nothing().map(Some);
    }
    set_status(machine, canister, Status::Stopping);
    machine.wait_for_stop(&canister.id, sender);
    Ok(None)
}

/// `uninstall_code`. Cycles, settings, history and status stay; what was printed and the chunk store go too. Calls that are
/// under way are rejected.
pub fn uninstall(
    machine: &mut Machine,
    canister: &Canister,
    call: &Call,
    sender: &Sender,
) -> Result<Vec<u8>, Reject> {
    let mut next = canister.clone();
    next.code = None;
    next.heap = Heap::default();
    if broken(Fault::UninstallKeepsMemory) {
        next.cycles = 0;
    } else {
        next.stable = Stable::default();
    }
    next.certified = Vec::new();
    next.timer = 0;
    next.installed = None;
    next.chunks = Chunks::default();
    next.logs.purge();
    next.version += 1;
    note(&mut next, call, sender, ChangeDetails::CodeUninstall);
    machine.commit(next, &(Vec::new(), Vec::new()));
    if !broken(Fault::UninstallForgetsContexts) {
        machine.abandon(&canister.id);
    }
    nothing()
}

/// `delete_canister`.
pub fn delete(machine: &mut Machine, canister: &Canister) -> Result<Vec<u8>, Reject> {
    if canister.status != Status::Stopped && !broken(Fault::DeleteRunning) {
        return Err(Reject::new(
            ErrorCode::CanisterNotStopped,
            format!("Canister {} must be stopped before it is deleted.", canister.id),
        ));
    }
    if !broken(Fault::DeletedStays) {
        machine.remove(&canister.id);
    }
    nothing()
}
