//! Installing, reinstalling and upgrading code. Each is atomic: a trap anywhere leaves the canister as it was.
//!
//! Source: IC interface specification, "IC method `install_code`".

use super::{decode, nothing};
use crate::exec::call::{Call, Changed, advance, no_code};
use crate::exec::limits::budget;
use crate::exec::machine::Machine;
use crate::exec::memory::of_module;
use crate::exec::run::{Done, Entry, Job, run};
use crate::heap::stable::Stable;
use crate::heap::wasm_memory::Heap;
use crate::state::canister::{Canister, Code};
use crate::state::request::Reject;
use crate::sysapi::context::Contexts;
use candid::{CandidType, Deserialize};
use ic_error_types::ErrorCode;
use ic_management_canister_types::{CanisterInstallMode, UpgradeFlags, WasmMemoryPersistence};
use serde_bytes::ByteBuf;
use std::sync::Arc;

#[derive(CandidType, Deserialize)]
struct InstallArgs {
    mode: CanisterInstallMode,
    wasm_module: ByteBuf,
    arg: ByteBuf,
}

/// The module inside an argument.
pub fn module(arg: &[u8]) -> Option<Vec<u8>> {
    decode::<InstallArgs>(arg)
        .ok()
        .map(|args| args.wasm_module.into_vec())
}

/// `install_code`.
pub fn install(machine: &mut Machine, canister: &Canister, call: &Call) -> Result<Vec<u8>, Reject> {
    let args: InstallArgs = decode(&call.arg)?;
    let code = Code::new(args.wasm_module.into_vec().into(), &machine.executor.engine).map_err(|error| {
        Reject::new(
            ErrorCode::CanisterInvalidWasm,
            format!(
                "Error from Canister {}: Canister's Wasm module is not valid: {error}",
                canister.id
            ),
        )
    })?;
    let code = Arc::new(code);
    // What the code brings with it; what it grows by is limited while it runs. What it replaces is not deducted.
    machine
        .memory()
        .need(of_module(code.wasm.len(), code.compiled.info.min_pages))?;
    let call = Call {
        arg: args.arg.into_vec().into(),
        ..call.clone()
    };
    let (next, changed) = match args.mode {
        CanisterInstallMode::Install if canister.code.is_some() => {
            return Err(Reject::new(
                ErrorCode::CanisterNonEmpty,
                format!(
                    "Canister {} cannot be installed because the canister is not empty.",
                    canister.id
                ),
            ));
        }
        CanisterInstallMode::Install | CanisterInstallMode::Reinstall => {
            begin(machine, canister, code, &call)?
        }
        CanisterInstallMode::Upgrade(flags) => {
            upgrade(machine, canister, code, &call, flags.unwrap_or_default())?
        }
    };
    machine.commit(next, &changed);
    nothing()
}

fn initial_heap(code: &Code) -> Heap {
    let info = &code.compiled.info;
    Heap {
        pages: info.initial.clone(),
        size: info.min_pages,
        globals: Vec::new(),
        image: Arc::default(),
    }
}

fn step(
    machine: &Machine,
    canister: &Canister,
    call: &Call,
    kind: Contexts,
    entry: Entry<'_>,
) -> Result<Done, Reject> {
    let executor = &machine.executor;
    let code = canister.code.as_ref().ok_or_else(|| no_code(canister.id))?;
    let done = run(
        &executor.engine,
        Job {
            code: &code.compiled,
            heap: &canister.heap,
            stable: canister.stable.clone(),
            kind,
            view: executor.view(canister, call),
            budget: budget(canister, executor.limits.install, false, machine.memory().spare()),
            entry,
            keep: true,
        },
    )?;
    Ok(done)
}

/// A canister with fresh code: everything wiped, then the start function and `canister_init`.
fn begin(
    machine: &Machine,
    canister: &Canister,
    code: Arc<Code>,
    call: &Call,
) -> Result<(Canister, Changed), Reject> {
    let mut fresh = canister.clone();
    fresh.heap = initial_heap(&code);
    fresh.stable = Stable::default();
    fresh.certified = Vec::new();
    fresh.timer = 0;
    fresh.code = Some(code);
    let done = step(
        machine,
        &fresh,
        call,
        Contexts::I,
        Entry::StartThen("canister_init"),
    )?;
    Ok(advance(&fresh, done))
}

/// `canister_pre_upgrade` of the old code, then start and `canister_post_upgrade` of the new on the same stable memory.
fn upgrade(
    machine: &Machine,
    canister: &Canister,
    code: Arc<Code>,
    call: &Call,
    flags: UpgradeFlags,
) -> Result<(Canister, Changed), Reject> {
    if canister.code.is_none() {
        return Err(no_code(canister.id));
    }
    let mut current = canister.clone();
    let mut stable_changed = Vec::new();
    if flags.skip_pre_upgrade != Some(true) {
        let done = step(
            machine,
            canister,
            call,
            Contexts::G,
            Entry::Export("canister_pre_upgrade"),
        )?;
        let (after, changed) = advance(canister, done);
        (current, stable_changed) = (after, changed.1);
        // An upgrade is one change, however many steps it takes.
        current.version = canister.version;
    }
    let fresh = initial_heap(&code);
    current.heap = match flags.wasm_memory_persistence {
        // Enhanced orthogonal persistence: the contents stay, globals and tables begin anew.
        Some(WasmMemoryPersistence::Keep) => Heap {
            size: current.heap.size.max(fresh.size),
            globals: Vec::new(),
            ..current.heap
        },
        _ => fresh,
    };
    current.code = Some(code);
    // What `canister_pre_upgrade` set is of the old code too.
    current.timer = 0;
    let done = step(
        machine,
        &current,
        call,
        Contexts::I,
        Entry::StartThen("canister_post_upgrade"),
    )?;
    let (next, (heap_changed, more)) = advance(&current, done);
    stable_changed.extend(more);
    Ok((next, (heap_changed, stable_changed)))
}
