//! Runs one entry point of a canister in a fresh instance.

use crate::faults::{Fault, broken};
use crate::heap::mapping::{self, Beginning, Image};
use crate::heap::stable::Stable;
use crate::heap::wasm_memory::{GlobalValue, Heap};
use crate::state::calls::Function;
use crate::state::logs::Logs;
use crate::state::request::Reject;
use crate::sysapi::context::{Contexts, REPLICATED};
use crate::sysapi::{Answer, Budget, Execution, Outgoing, SysTrap, View};
use crate::wasm::depth::LEFT;
use crate::wasm::engine::{Compiled, Engine};
use crate::wasm::rewrite::{MEMORY, START, TABLE, global_export};
use ic_error_types::ErrorCode;
use ic_principal::Principal;
use std::sync::Arc;
use wasmtime::{Error, Instance, Store, Trap, V128, Val};

/// What to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry<'a> {
    /// An export, which may be absent when it is a system entry point.
    Export(&'a str),
    /// The start function and then an export.
    StartThen(&'a str),
    /// A function of the table, with its argument.
    Callback(Function),
}

/// What a successful execution did. Nothing has taken effect yet.
#[derive(Debug)]
pub struct Done {
    /// How it answered.
    pub answer: Option<Answer>,
    /// Whether it accepted the message, for `canister_inspect_message`.
    pub accepted: bool,
    /// What it set as certified data.
    pub certified: Option<Vec<u8>>,
    /// Cycles burnt.
    pub burnt: u128,
    /// Cycles accepted.
    pub taken: u128,
    /// Cycles that were not accepted when it answered.
    pub refund: u128,
    /// Cycles that may still be accepted; none after the answer.
    pub available: u128,
    /// Calls made.
    pub calls: Vec<Outgoing>,
    /// Cycles attached to them.
    pub attached: u128,
    /// What it set the global timer to.
    pub timer: Option<u64>,
    /// Instructions used.
    pub instructions: u64,
    /// The heap after it, with the pages changed; only when effects are kept.
    pub heap: Option<(Heap, Vec<u64>)>,
    /// Stable memory after it, with the pages changed.
    pub stable: (Stable, Vec<u64>),
    /// What it printed, in replicated mode.
    pub logs: Logs,
}

/// An execution that was stopped: all that is left of it is why and, in replicated mode, what it printed until then.
#[derive(Debug)]
pub struct Stopped {
    /// Why.
    pub reject: Reject,
    /// Instructions used until then.
    pub instructions: u64,
    /// What it printed, and at the end why it was stopped.
    pub logs: Logs,
}

impl From<Stopped> for Reject {
    fn from(stopped: Stopped) -> Self {
        stopped.reject
    }
}

impl From<Reject> for Stopped {
    /// Something that was refused before anything ran.
    fn from(reject: Reject) -> Self {
        Self {
            reject,
            instructions: 0,
            logs: Logs::default(),
        }
    }
}

/// The input of one execution.
#[derive(Debug)]
pub struct Job<'a> {
    /// The code.
    pub code: &'a Compiled,
    /// The heap before it.
    pub heap: &'a Heap,
    /// Stable memory before it.
    pub stable: Stable,
    /// The kind of execution.
    pub kind: Contexts,
    /// What it can see.
    pub view: View,
    /// What it may use.
    pub budget: Budget,
    /// What to run.
    pub entry: Entry<'a>,
    /// Whether its effects may be kept.
    pub keep: bool,
}

/// Runs a job.
pub fn run(engine: &Engine, job: Job<'_>) -> Result<Done, Stopped> {
    let canister = job.view.canister;
    let limit = job.budget.instructions;
    let mut budget = job.budget;
    // A canister whose limit was lowered below its size keeps running; it only cannot grow.
    budget.heap = budget.heap.max(job.heap.bytes());
    let overlay = crate::heap::stable::Overlay::new(job.stable);
    let mut store = Store::new(
        engine.inner(),
        Execution::new(job.kind, job.view, budget, job.heap.bytes(), overlay),
    );
    store.limiter(|execution| execution);
    let mut heap_limit_hit = false;
    mapping::refused_by_the_machine();
    let image = job.heap.image().filter(|_| engine.maps_memories());
    let began = Began {
        heap: job.heap,
        image: image.as_ref(),
        passes_on: !job.keep,
    };
    let result = attempt(&mut store, job.code, began, job.kind, limit, job.entry).and_then(|instance| {
        if !job.keep {
            return Ok(None);
        }
        let globals = read_globals(&mut store, instance, job.code)?;
        let memory = instance.get_memory(&mut store, MEMORY);
        Ok(Some(match memory {
            Some(memory) => job.heap.capture(memory.data(&store), globals, image.as_deref()),
            None => (
                Heap {
                    globals,
                    ..job.heap.clone()
                },
                Vec::new(),
            ),
        }))
    });
    if let Some(error) = mapping::refused_by_the_machine().filter(|_| REPLICATED.allows(job.kind)) {
        engine.fail(format!(
            "the machine has no memory for canister {canister}: {error}"
        ));
    }
    heap_limit_hit |= store.data().heap_limit_hit;
    let instructions = limit.saturating_sub(store.get_fuel().unwrap_or(0));
    crate::meter::count(instructions);
    #[cfg(feature = "faults")]
    let written = crate::faults::kept::written(&store, job.heap, image.as_deref());
    let mut execution = store.into_data();
    let heap = match result {
        Ok(heap) => heap,
        Err(error) => {
            let (reject, why) = explain(&error, canister, limit, heap_limit_hit);
            execution.set_kind(job.kind);
            execution.print(format!("[TRAP]: {why}").as_bytes());
            #[cfg(feature = "faults")]
            crate::faults::kept::leave(
                job.kind,
                crate::faults::kept::Left {
                    heap: written,
                    stable: Some(execution.stable),
                    certified: execution.certified,
                    timer: execution.timer,
                    taken: execution.taken,
                    calls: execution.calls,
                },
            );
            let logs = if broken(Fault::TrapNotLogged) {
                Logs::default()
            } else {
                execution.logs
            };
            return Err(Stopped {
                reject,
                instructions,
                logs,
            });
        }
    };
    #[cfg(feature = "faults")]
    execution.perform_rest();
    Ok(Done {
        answer: execution.answer,
        accepted: execution.accepted,
        certified: execution.certified,
        burnt: execution.burnt,
        taken: execution.taken,
        refund: execution.refund,
        available: execution.available,
        calls: execution.calls,
        attached: execution.attached,
        timer: execution.timer,
        instructions,
        heap,
        stable: execution.stable.commit(),
        logs: execution.logs,
    })
}

/// What the memory of an instance begins as.
#[derive(Clone, Copy)]
struct Began<'a> {
    heap: &'a Heap,
    image: Option<&'a Arc<Image>>,
    /// Whether another instance may have the memory afterwards.
    passes_on: bool,
}

fn attempt(
    store: &mut Store<Execution>,
    code: &Compiled,
    Began {
        heap,
        image,
        passes_on,
    }: Began<'_>,
    kind: Contexts,
    limit: u64,
    entry: Entry<'_>,
) -> wasmtime::Result<Instance> {
    store.set_fuel(limit)?;
    let beginning = image.map(|image| Beginning {
        image: image.clone(),
        size: heap.bytes(),
        passes_on,
    });
    let instance = mapping::beginning_with(beginning, || code.pre.instantiate(&mut *store))?;
    if let Some(memory) = instance.get_memory(&mut *store, MEMORY) {
        let missing = heap.size.saturating_sub(memory.size(&*store));
        if missing > 0 {
            memory.grow(&mut *store, missing)?;
        }
        heap.load(memory.data_mut(&mut *store), image.map(AsRef::as_ref));
        store.data_mut().attach(Some(memory));
    }
    write_globals(store, instance, code, &heap.globals)?;
    match enter(store, instance, code, kind, entry) {
        Ok(()) => Ok(instance),
        Err(error) => Err(too_deep(store, instance, error)),
    }
}

fn enter(
    store: &mut Store<Execution>,
    instance: Instance,
    code: &Compiled,
    kind: Contexts,
    entry: Entry<'_>,
) -> wasmtime::Result<()> {
    let (start, export) = match entry {
        Entry::Callback(function) => {
            return call_back(store, instance, function, code.info.memory64);
        }
        Entry::Export(export) => (false, export),
        Entry::StartThen(export) => (true, export),
    };
    if start && code.info.start.is_some() {
        store.data_mut().set_kind(Contexts::S);
        call(store, instance, START)?;
        store.data_mut().set_kind(kind);
    }
    call(store, instance, export)
}

/// What stopped an execution; a call for which nothing was left is named as the engine names one that finds no room.
fn too_deep(store: &mut Store<Execution>, instance: Instance, error: Error) -> Error {
    let left = instance
        .get_global(&mut *store, LEFT)
        .and_then(|left| left.get(&mut *store).i32());
    if left.is_some_and(|left| left < 0) {
        return Trap::StackOverflow.into();
    }
    error
}

fn call(store: &mut Store<Execution>, instance: Instance, export: &str) -> wasmtime::Result<()> {
    match instance.get_func(&mut *store, export) {
        Some(function) => function.typed::<(), ()>(&*store)?.call(&mut *store, ()),
        // System entry points are optional; methods were looked up before.
        None => Ok(()),
    }
}

/// Calls a function of the table. What is no function there, or one of another type, stops the execution.
fn call_back(
    store: &mut Store<Execution>,
    instance: Instance,
    Function { index, environment }: Function,
    memory64: bool,
) -> wasmtime::Result<()> {
    let environment = if broken(Fault::CallbackWithoutNumber) {
        0
    } else {
        environment
    };
    let found = instance
        .get_table(&mut *store, TABLE)
        .and_then(|table| table.get(&mut *store, index))
        .ok_or(Trap::TableOutOfBounds)?;
    let Some(Some(function)) = found.as_func() else {
        return Err(Trap::IndirectCallToNull.into());
    };
    if memory64 {
        let function = function
            .typed::<u64, ()>(&*store)
            .map_err(|_| Trap::BadSignature)?;
        return function.call(&mut *store, environment);
    }
    let function = function
        .typed::<u32, ()>(&*store)
        .map_err(|_| Trap::BadSignature)?;
    // It came as 32 bits.
    function.call(&mut *store, u32::try_from(environment).unwrap_or(u32::MAX))
}

fn missing_global() -> Error {
    Error::msg("an exported global is missing")
}

fn read_globals(
    store: &mut Store<Execution>,
    instance: Instance,
    code: &Compiled,
) -> wasmtime::Result<Vec<GlobalValue>> {
    code.info
        .globals
        .iter()
        .map(|(index, _)| {
            let global = instance
                .get_global(&mut *store, &global_export(*index))
                .ok_or_else(missing_global)?;
            match global.get(&mut *store) {
                Val::I32(value) => Ok(GlobalValue::I32(value)),
                Val::I64(value) => Ok(GlobalValue::I64(value)),
                Val::F32(bits) => Ok(GlobalValue::F32(bits)),
                Val::F64(bits) => Ok(GlobalValue::F64(bits)),
                Val::V128(value) => Ok(GlobalValue::V128(value.as_u128())),
                _ => Err(Error::msg("a mutable global holds a reference")),
            }
        })
        .collect()
}

fn write_globals(
    store: &mut Store<Execution>,
    instance: Instance,
    code: &Compiled,
    values: &[GlobalValue],
) -> wasmtime::Result<()> {
    for ((index, _), value) in code.info.globals.iter().zip(values) {
        let global = instance
            .get_global(&mut *store, &global_export(*index))
            .ok_or_else(missing_global)?;
        let value = match *value {
            GlobalValue::I32(value) => Val::I32(value),
            GlobalValue::I64(value) => Val::I64(value),
            GlobalValue::F32(bits) => Val::F32(bits),
            GlobalValue::F64(bits) => Val::F64(bits),
            GlobalValue::V128(value) => Val::V128(V128::from(value)),
        };
        global.set(&mut *store, value)?;
    }
    Ok(())
}

/// Turns what stopped an execution into a rejection, in the words of the replica where tools look for them, and into what the
/// canister's logs say of it.
fn explain(error: &Error, canister: Principal, limit: u64, heap_limit_hit: bool) -> (Reject, String) {
    let from = format!("Error from Canister {canister}: ");
    let (code, text) = match (error.downcast_ref::<SysTrap>(), error.downcast_ref::<Trap>()) {
        (Some(SysTrap::Explicit(message)), _) => (
            ErrorCode::CanisterCalledTrap,
            format!("Canister called `ic0.trap` with message: '{message}'"),
        ),
        (Some(SysTrap::Contract(message)), _) => (
            ErrorCode::CanisterContractViolation,
            format!("Canister violated contract: {message}"),
        ),
        (Some(SysTrap::Cycles(message)), _) => (ErrorCode::InsufficientCyclesInCall, message.clone()),
        (Some(SysTrap::OutOfInstructions), _) | (_, Some(Trap::OutOfFuel)) => (
            ErrorCode::CanisterInstructionLimitExceeded,
            format!("Canister exceeded the limit of {limit} instructions for single message execution."),
        ),
        // a recursion that found no end did not end for want of a heap
        (None, Some(trap)) if heap_limit_hit && *trap != Trap::StackOverflow => (
            ErrorCode::CanisterWasmMemoryLimitExceeded,
            format!("Canister exceeded its memory limit and trapped: {trap}"),
        ),
        (None, Some(trap)) => (ErrorCode::CanisterTrapped, format!("Canister trapped: {trap}")),
        (None, None) => (
            ErrorCode::CanisterWasmEngineError,
            format!("Canister encountered a Wasm engine error: {error:#}"),
        ),
    };
    let text = if broken(Fault::SilentTraps) {
        String::new()
    } else {
        text
    };
    let code = if broken(Fault::WrongRejectCode) {
        ErrorCode::CanisterRejectedMessage
    } else {
        code
    };
    let why = match error.downcast_ref::<SysTrap>() {
        Some(SysTrap::Explicit(message)) if !broken(Fault::SilentTraps) => message.clone(),
        _ => text.clone(),
    };
    (Reject::new(code, from + &text), why)
}
