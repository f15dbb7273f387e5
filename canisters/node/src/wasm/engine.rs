//! The engine that runs canisters, and compiled modules.
//!
//! Same input, same output, on every machine: fixed code generation target (no host features), canonical NaN, no
//! threads, no relaxed SIMD, instructions counted by a fixed table. What a batch does may depend on nothing else,
//! because batches are replayed after a crash.

use super::ahead::{Ahead, Held};
use super::cache::Cache;
use super::inspect::{ModuleError, ModuleInfo, inspect};
use super::packed::{MAX_MODULE, Size, unpack};
use super::rewrite::rewrite;
use super::turns::Turns;
use crate::heap::mapping::{self, Creator};
use crate::sysapi::{self, Execution};
use crate::wire::hash::{Hash, sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use thiserror::Error;
use wasmtime::{Config, InstancePre, Linker, Module, OperatorCost};

/// Native stack for wasm, in bytes: what the frames may hold that [`super::depth`] counts, with 16 bytes for each value, and the last one,
/// which nobody counts. Threads that run canisters must have [`THREAD_STACK`].
const WASM_STACK: usize = 10 << 20;
/// Stack of threads that run canisters, in bytes. It takes memory only where it was used, and keeps that.
pub const THREAD_STACK: usize = 12 << 20;
/// Names everything that the outcome of a message depends on besides the module. Change it with the engine's version,
/// the cost table, the limits or the meaning of a system call: a log written under another name is never replayed.
pub const SEMANTICS: &str = "dcanary-node/9 wasmtime/48.0.8 costs/1 limits/9";

/// The engine could not be set up.
#[derive(Debug, Error)]
#[error("the WebAssembly engine cannot be set up: {0}")]
pub struct EngineError(String);

/// A module that can run.
pub struct Compiled {
    /// What the node knows of it.
    pub info: ModuleInfo,
    /// How large it is.
    pub size: Size,
    /// Instantiation, prepared.
    pub pre: InstancePre<Execution>,
}

impl std::fmt::Debug for Compiled {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Compiled")
            .field("methods", &self.info.methods.len())
            .finish_non_exhaustive()
    }
}

/// See the module documentation.
pub struct Engine {
    wasmtime: wasmtime::Engine,
    /// Whether memories are copy-on-write mappings.
    maps: bool,
    linker32: Linker<Execution>,
    linker64: Linker<Execution>,
    /// Modules in use, by the hash of what was uploaded: compiled once for all canisters and all callers.
    known: Mutex<HashMap<Hash, Weak<Compiled>>>,
    /// Modules compiled ahead of the batch that installs them.
    ahead: Ahead<Compiled>,
    /// Who compiles a large one.
    pub turns: Turns,
    /// Modules compiled by earlier starts.
    kept: Option<Cache>,
    /// Why what is executed here can be trusted no more.
    broken: OnceLock<String>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Engine").finish_non_exhaustive()
    }
}

fn config(maps: bool) -> wasmtime::Result<Config> {
    let mut config = Config::new();
    config
        .target(&format!("{}-unknown-linux-gnu", std::env::consts::ARCH))?
        .cranelift_nan_canonicalization(true)
        .consume_fuel(true)
        .operator_cost(costs())
        .max_wasm_stack(WASM_STACK)
        // Not used, but checked against the line above.
        .async_stack_size(THREAD_STACK)
        .wasm_backtrace_max_frames(None)
        .memory_init_cow(false)
        .wasm_bulk_memory(true)
        .wasm_reference_types(true)
        .wasm_simd(true)
        .wasm_tail_call(true)
        .wasm_memory64(true)
        .wasm_multi_memory(false)
        .wasm_relaxed_simd(false)
        .wasm_extended_const(false)
        .wasm_function_references(false)
        .wasm_gc(false);
    if maps {
        config.with_host_memory(Arc::new(Creator));
    }
    Ok(config)
}

/// Instruction weights, near those that the IC meters with (dfinity/ic, embedders, instrumentation).
fn costs() -> OperatorCost {
    let mut costs = OperatorCost::new();
    macro_rules! set {
        ($cost:literal: $($operator:ident)*) => { $(costs.$operator = $cost;)* };
    }
    set!(10: I32DivS I32DivU I32RemS I32RemU I64DivS I64DivU I64RemS I64RemU CallIndirect ReturnCallIndirect);
    set!(5: Call ReturnCall BrTable);
    set!(2: GlobalGet GlobalSet Br);
    set!(3: BrIf If);
    set!(20: F32Div F64Div F32Sqrt F64Sqrt F32Ceil F32Floor F32Trunc F32Nearest F64Ceil F64Floor F64Trunc F64Nearest);
    set!(20: F32Min F32Max F64Min F64Max F32Add F32Sub F32Mul F64Add F64Sub F64Mul);
    set!(100: MemoryGrow MemoryCopy MemoryFill MemoryInit TableGrow TableCopy TableFill TableInit);
    // A grown page has to be provided, compared and stored.
    costs.variable.memory_grow_per_page = 200;
    costs
}

impl Engine {
    /// Sets up the engine.
    pub fn new() -> Result<Self, EngineError> {
        Self::build(mapping::supported()).map_err(|error| EngineError(format!("{error:#}")))
    }

    /// Keeps what it compiles for later starts, and uses what earlier ones kept.
    pub fn keeping(self, cache: Cache) -> Self {
        Self {
            kept: Some(cache),
            ..self
        }
    }

    /// Gives up what earlier starts kept and nothing has used since this one.
    pub fn forget_unused(&self) {
        if let Some(kept) = &self.kept {
            kept.forget_unused();
        }
    }

    /// An engine that copies heaps, as where they cannot be mapped.
    #[cfg(test)]
    pub fn copying() -> Self {
        #[allow(clippy::unwrap_used)]
        Self::build(false).unwrap()
    }

    /// Notes that the machine failed in a replicated execution: its outcome is not what it is elsewhere, or in a replay, so it must not be shown.
    pub fn fail(&self, why: String) {
        // The first reason is the one to tell.
        let _ = self.broken.set(why);
    }

    /// Why nothing that was executed since may be shown; `None` when all is well.
    pub fn broken(&self) -> Option<&str> {
        self.broken.get().map(String::as_str)
    }

    /// Whether memories of instances begin with an image of the heap.
    pub fn maps_memories(&self) -> bool {
        self.maps
    }

    fn build(maps: bool) -> wasmtime::Result<Self> {
        let engine = wasmtime::Engine::new(&config(maps)?)?;
        let mut linker32 = Linker::new(&engine);
        sysapi::link::<u32>(&mut linker32)?;
        sysapi::link_legacy(&mut linker32)?;
        let mut linker64 = Linker::new(&engine);
        sysapi::link::<u64>(&mut linker64)?;
        Ok(Self {
            wasmtime: engine,
            maps,
            linker32,
            linker64,
            known: Mutex::default(),
            ahead: Ahead::default(),
            turns: Turns::default(),
            kept: None,
            broken: OnceLock::new(),
        })
    }

    /// The engine proper.
    pub fn inner(&self) -> &wasmtime::Engine {
        &self.wasmtime
    }

    /// Compiles an uploaded module, or finds it among those in use. A pure function of its argument, so it may run
    /// ahead of ordering.
    pub fn compile(&self, uploaded: &[u8]) -> Result<Arc<Compiled>, ModuleError> {
        let hash = sha256(uploaded);
        if let Some(known) = self.lookup(&hash) {
            return Ok(known);
        }
        let wasm = unpack(uploaded, MAX_MODULE)?;
        let (info, size) = (inspect(&wasm)?, Size::of(&wasm));
        let rewritten = rewrite(&wasm, &info)?;
        // Compiling holds it twice more.
        drop(wasm);
        let compile_error = |error: wasmtime::Error| ModuleError::Compile(format!("{error:#}"));
        let module = self.module(&rewritten).map_err(compile_error)?;
        let linker = if info.memory64 {
            &self.linker64
        } else {
            &self.linker32
        };
        let pre = linker.instantiate_pre(&module).map_err(compile_error)?;
        let compiled = Arc::new(Compiled { info, size, pre });
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, module| module.strong_count() > 0);
        known.insert(hash, Arc::downgrade(&compiled));
        Ok(compiled)
    }

    fn module(&self, rewritten: &[u8]) -> wasmtime::Result<Module> {
        let Some(kept) = &self.kept else {
            return Module::from_binary(&self.wasmtime, rewritten);
        };
        let source = sha256(rewritten);
        if let Some(module) = kept.load(&self.wasmtime, &source) {
            return Ok(module);
        }
        let module = Module::from_binary(&self.wasmtime, rewritten)?;
        kept.keep(&source, &module);
        Ok(module)
    }

    /// Finds an uploaded module among those in use.
    pub fn known(&self, uploaded: &[u8]) -> Option<Arc<Compiled>> {
        self.lookup(&sha256(uploaded))
    }

    /// Holds a module that was compiled ahead of ordering, bounded in bytes.
    pub fn hold(&self, compiled: Arc<Compiled>, bytes: u64) -> Held<Compiled> {
        self.ahead.hold(compiled, bytes)
    }

    fn lookup(&self, hash: &Hash) -> Option<Arc<Compiled>> {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(hash)?
            .upgrade()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Whoever changes one of these changes what a log means, and has to give the whole another name.
    #[test]
    fn the_semantics_name_the_engine_and_the_cost_table_that_there_are() {
        let lock = include_str!("../../../../Cargo.lock");
        let engine = lock
            .split("[[package]]")
            .find(|package| package.contains("name = \"wasmtime\"\n"))
            .unwrap();
        let version = engine.lines().find(|line| line.starts_with("version")).unwrap();
        let version = version.trim_start_matches("version = ").trim_matches('"');
        assert!(SEMANTICS.contains(&format!(" wasmtime/{version} ")), "{version}");
        let table = hex::encode(&sha256(format!("{:?}", costs()).as_bytes())[..8]);
        assert_eq!(
            (SEMANTICS.contains(" costs/1 "), table.as_str()),
            (true, "ccc98df00a55f44d")
        );
    }

    /// What a processor can do beyond the first of its kind must not show: the same log is replayed on another machine.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn compiled_code_uses_no_instruction_that_only_some_processors_have() {
        let count_bits = "(module (func (export \"f\") (param i64) (result i64) (i64.popcnt (local.get 0))))";
        let module = wat::parse_str(count_bits).unwrap();
        let code = Engine::new()
            .unwrap()
            .module(&module)
            .unwrap()
            .serialize()
            .unwrap();
        // POPCNT of a 64-bit register, which compilers take as soon as they may
        let popcnt = |bytes: &[u8]| matches!(bytes, [0xf3, 0x40..=0x4f, 0x0f, 0xb8]);
        assert!(!code.windows(4).any(popcnt));
    }
}
