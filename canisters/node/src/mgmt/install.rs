//! Installing, reinstalling and upgrading code. Each is atomic: a trap anywhere leaves the canister as it was.
//!
//! Source: IC interface specification, "IC method `install_code`".

use super::chunks::{self, ChunkedArgs};
use super::sender::{Sender, note};
use super::{decode, nothing};
use crate::exec::call::{Call, Changed, advance, no_code, printed};
use crate::exec::limits::budget;
use crate::exec::machine::Machine;
use crate::exec::memory::{of_heap, of_module};
use crate::exec::run::{Done, Entry, Job, Stopped, run};
use crate::faults::{Fault, broken};
use crate::heap::pages::PageMap;
use crate::heap::stable::Stable;
use crate::heap::wasm_memory::Heap;
use crate::state::canister::{Canister, Code, Status};
use crate::state::logs::Logs;
use crate::state::request::Reject;
use crate::sysapi::context::Contexts;
use crate::wasm::packed::Size;
use candid::{CandidType, Deserialize};
use ic_error_types::ErrorCode;
use ic_management_canister_types::{
    CanisterInstallMode, ChangeDetails, CodeDeploymentMode, CodeDeploymentRecord, UpgradeFlags,
    WasmMemoryPersistence,
};
use serde_bytes::ByteBuf;
use std::sync::Arc;

#[derive(CandidType, Deserialize)]
struct InstallArgs {
    mode: CanisterInstallMode,
    wasm_module: ByteBuf,
    arg: ByteBuf,
}

/// The module inside an argument. Copies it.
pub fn module(arg: &[u8]) -> Option<Vec<u8>> {
    decode::<InstallArgs>(arg)
        .ok()
        .map(|args| args.wasm_module.into_vec())
}

/// A module on its way into a canister.
struct Install {
    mode: CanisterInstallMode,
    wasm: Vec<u8>,
    arg: Vec<u8>,
}

/// `install_code`.
pub fn install(
    machine: &mut Machine,
    canister: &Canister,
    call: &Call,
    sender: &Sender,
) -> Result<Vec<u8>, Reject> {
    let args: InstallArgs = decode(&call.arg)?;
    let install = Install {
        mode: args.mode,
        wasm: args.wasm_module.into_vec(),
        arg: args.arg.into_vec(),
    };
    deploy(machine, canister, call, sender, install)
}

/// `install_chunked_code`.
pub fn chunked(
    machine: &mut Machine,
    canister: &Canister,
    call: &Call,
    sender: &Sender,
) -> Result<Vec<u8>, Reject> {
    let args: ChunkedArgs = decode(&call.arg)?;
    let install = Install {
        mode: args.mode,
        wasm: chunks::assemble(machine.state(), &call.caller, &args)?,
        arg: args.arg.into_vec(),
    };
    deploy(machine, canister, call, sender, install)
}

fn deploy(
    machine: &mut Machine,
    canister: &Canister,
    call: &Call,
    sender: &Sender,
    Install { mode, wasm, arg }: Install,
) -> Result<Vec<u8>, Reject> {
    // What the code brings with it; what it grows by is limited while it runs. What it replaces is not deducted.
    let engine = machine.executor.engine.clone();
    let known = engine.known(&wasm);
    let size = known.as_ref().map_or_else(|| Size::of(&wasm), |known| known.size);
    let needed = of_module(wasm.len(), size);
    machine.memory().need(needed)?;
    let turn = match known {
        Some(_) => None,
        None => engine.turns.batch(size.unpacked),
    };
    let code = Code::new(wasm.into(), &engine);
    drop(turn);
    if code.is_err() && broken(Fault::RefusedModuleEmpties) {
        let mut empty = canister.clone();
        empty.code = None;
        machine.commit(empty, &(Vec::new(), Vec::new()));
    }
    let code = code.map_err(|error| {
        Reject::new(
            ErrorCode::CanisterInvalidWasm,
            format!(
                "Error from Canister {}: Canister's Wasm module is not valid: {error}",
                canister.id
            ),
        )
    })?;
    let code = Arc::new(code);
    let heap = of_heap(code.compiled.info.min_pages);
    machine.memory().need(needed.saturating_add(heap))?;
    let arg = if broken(Fault::InstallWithoutArgument) {
        Vec::new()
    } else {
        arg
    };
    let inner = Call {
        arg: arg.into(),
        ..call.clone()
    };
    let module_hash = code.hash.to_vec();
    let (deployed, mode) = match mode {
        CanisterInstallMode::Install if canister.code.is_some() && !broken(Fault::WrongMode) => {
            return Err(Reject::new(
                ErrorCode::CanisterNonEmpty,
                format!(
                    "Canister {} cannot be installed because the canister is not empty.",
                    canister.id
                ),
            ));
        }
        CanisterInstallMode::Install => (
            begin(machine, canister, code, &inner),
            CodeDeploymentMode::Install,
        ),
        CanisterInstallMode::Reinstall => (
            begin(machine, canister, code, &inner),
            CodeDeploymentMode::Reinstall,
        ),
        CanisterInstallMode::Upgrade(_) if canister.code.is_none() && broken(Fault::WrongMode) => (
            begin(machine, canister, code, &inner),
            CodeDeploymentMode::Install,
        ),
        CanisterInstallMode::Upgrade(flags) => (
            upgrade(machine, canister, code, &inner, flags.unwrap_or_default()),
            CodeDeploymentMode::Upgrade,
        ),
    };
    let (mut next, changed) = deployed.map_err(|Stopped { reject, logs, .. }| {
        // Nothing of it takes effect, but what was printed on the way can be read.
        #[cfg(feature = "faults")]
        let canister = &crate::faults::kept::not_installed(canister);
        if let Some(next) = printed(canister, canister.cycles, &logs) {
            machine.commit(next, &(Vec::new(), Vec::new()));
        }
        reject
    })?;
    next.installed = Some(call.time);
    if broken(Fault::InstallStarts) {
        next.status = Status::Running;
    }
    let record = CodeDeploymentRecord { mode, module_hash };
    note(&mut next, call, sender, ChangeDetails::CodeDeployment(record));
    machine.commit(next, &changed);
    nothing()
}

fn initial_heap(code: &Code) -> Heap {
    let info = &code.compiled.info;
    Heap {
        pages: if broken(Fault::LoseConstants) {
            PageMap::default()
        } else {
            info.initial.clone()
        },
        size: info.min_pages,
        globals: Vec::new(),
        image: Arc::default(),
    }
}

fn step(
    machine: &mut Machine,
    canister: &Canister,
    call: &Call,
    kind: Contexts,
    entry: Entry<'_>,
) -> Result<Done, Stopped> {
    let executor = &machine.executor;
    let code = canister.code.as_ref().ok_or_else(|| no_code(canister.id))?;
    let mut view = executor.view(canister, call);
    if kind == Contexts::I {
        // New code sees the version after the change, the old one that before it.
        view.version += 1;
    }
    let result = run(
        &executor.engine,
        Job {
            code: &code.compiled,
            heap: &canister.heap,
            stable: canister.stable.clone(),
            kind,
            view,
            budget: budget(canister, kind, executor.limits.install, machine.growth(canister)),
            entry,
            keep: true,
        },
    );
    machine.count(&result);
    result
}

/// Runs new code for the first time, in a canister that may hold it.
fn begin_new(
    machine: &mut Machine,
    before: &Canister,
    next: &Canister,
    call: &Call,
    entry: Entry<'_>,
) -> Result<Done, Stopped> {
    machine.check_quota(before, next)?;
    step(machine, next, call, Contexts::I, entry)
}

/// A canister with fresh code: everything wiped, then the start function and `canister_init`.
fn begin(
    machine: &mut Machine,
    canister: &Canister,
    code: Arc<Code>,
    call: &Call,
) -> Result<(Canister, Changed), Stopped> {
    let mut fresh = canister.clone();
    fresh.logs.purge();
    fresh.heap = initial_heap(&code);
    if !broken(Fault::ReinstallKeepsStable) {
        fresh.stable = Stable::default();
    }
    fresh.certified = Vec::new();
    fresh.timer = 0;
    fresh.code = Some(code);
    #[cfg(feature = "faults")]
    crate::faults::kept::half_installed(&fresh);
    let entry = if broken(Fault::SkipInit) {
        Entry::Export("")
    } else {
        Entry::StartThen("canister_init")
    };
    let done = begin_new(machine, canister, &fresh, call, entry)?;
    Ok(advance(&fresh, done))
}

/// `canister_pre_upgrade` of the old code, then start and `canister_post_upgrade` of the new on the same stable memory.
fn upgrade(
    machine: &mut Machine,
    canister: &Canister,
    code: Arc<Code>,
    call: &Call,
    flags: UpgradeFlags,
) -> Result<(Canister, Changed), Stopped> {
    let old = canister.code.as_ref().ok_or_else(|| no_code(canister.id))?;
    check_persistence(canister, old, &code, flags)?;
    let mut current = canister.clone();
    let mut stable_changed = Vec::new();
    let mut printed = Logs::default();
    let flags = if broken(Fault::IgnoreUpgradeFlags) {
        UpgradeFlags::default()
    } else {
        flags
    };
    if flags.skip_pre_upgrade != Some(true) && !broken(Fault::SkipPreUpgrade) {
        let done = step(
            machine,
            canister,
            call,
            Contexts::G,
            Entry::Export("canister_pre_upgrade"),
        )?;
        printed = done.logs.clone();
        let (after, changed) = advance(canister, done);
        (current, stable_changed) = (after, changed.1);
        // An upgrade is one change, however many steps it takes.
        current.version = canister.version;
        #[cfg(feature = "faults")]
        crate::faults::kept::half_installed(&current);
    }
    if broken(Fault::StableLostOnUpgrade) {
        current.stable = Stable::default();
    }
    if broken(Fault::UpgradeForgets) {
        current.certified = Vec::new();
        current.logs.purge();
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
    if !broken(Fault::TimerSurvivesUpgrade) {
        current.timer = 0;
    }
    let done = begin_new(
        machine,
        canister,
        &current,
        call,
        Entry::StartThen("canister_post_upgrade"),
    )
    .map_err(|stopped| {
        printed.append(&stopped.logs, canister.log_limit());
        Stopped {
            logs: printed,
            ..stopped
        }
    })?;
    let (next, (heap_changed, more)) = advance(&current, done);
    stable_changed.extend(more);
    Ok((next, (heap_changed, stable_changed)))
}

/// The section by which a module says that its heap may be kept.
const PERSISTENCE: &str = "enhanced-orthogonal-persistence";

/// Whether the heap is kept must be said where the old code expects it to be, and kept only where the new code does too.
fn check_persistence(canister: &Canister, old: &Code, new: &Code, flags: UpgradeFlags) -> Result<(), Reject> {
    let expects = |code: &Code| {
        let section = code.compiled.info.metadata.get(PERSISTENCE);
        section.is_some_and(|section| !section.public)
    };
    let missing = match flags.wasm_memory_persistence {
        None if expects(old) => "the upgrade must say whether the heap is kept (wasm_memory_persistence)",
        Some(WasmMemoryPersistence::Keep) if !expects(new) => {
            "the heap cannot be kept, because the new module has no private section for it"
        }
        _ => return Ok(()),
    };
    Err(Reject::new(
        ErrorCode::CanisterContractViolation,
        format!("Error from Canister {}: {missing} ({PERSISTENCE})", canister.id),
    ))
}
