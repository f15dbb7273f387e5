//! The system API: what a running canister can see and do.
//!
//! An [`Execution`] holds everything one entry point may read and collects everything it does. Nothing takes effect
//! before the entry point returned; a trap drops the whole value. Time, caller and argument are inputs: nothing here
//! reads a clock, a random source or a file.

mod access;
mod calls;
mod canister;
mod certified;
pub mod context;
mod cost;
mod cycles;
mod legacy;
mod message;
pub mod names;
mod stable;

pub use cost::CREATE_CANISTER;

use crate::exec::memory::HEAP_FACTOR;
use crate::exec::quota::Growth;
use crate::faults::{Fault, broken};
use crate::heap::stable::Overlay;
use crate::state::logs::Logs;
pub use calls::Outgoing;
use context::{Contexts, REPLICATED};
use ic_principal::Principal;
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;
use wasmtime::{Linker, Memory, ResourceLimiter, WasmTy};

/// Why the system API stopped an execution.
#[derive(Debug, Error)]
pub enum SysTrap {
    /// The canister called `ic0.trap`.
    #[error("{0}")]
    Explicit(String),
    /// The canister broke a rule of the system API.
    #[error("{0}")]
    Contract(String),
    /// The canister attached more cycles than it has.
    #[error("{0}")]
    Cycles(String),
    /// No instructions left for the work asked for.
    #[error("no instructions left")]
    OutOfInstructions,
}

/// How an execution answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// `msg_reply` with the data appended before.
    Reply(Vec<u8>),
    /// `msg_reject`.
    Reject(String),
}

/// What a message brings besides its argument, and what its call context has come to.
#[derive(Debug, Clone, Default)]
pub struct Message {
    /// Cycles that it brings and that may be accepted.
    pub available: u128,
    /// Cycles that came back with an answer.
    pub refunded: u128,
    /// When its caller gives up, nanoseconds since 1970; 0 for never.
    pub deadline: u64,
    /// The reject code and the message of an answer that is a rejection.
    pub reject: Option<(i32, String)>,
    /// Whether the call was answered before, or wants no answer.
    pub answered: bool,
    /// Instructions that the call context used before.
    pub instructions: u64,
}

/// What an execution can see.
#[derive(Debug, Clone)]
pub struct View {
    /// The argument.
    pub arg: Arc<[u8]>,
    /// Who called.
    pub caller: Principal,
    /// The canister itself.
    pub canister: Principal,
    /// The method, for `canister_inspect_message`.
    pub method: String,
    /// Nanoseconds since 1970.
    pub time: u64,
    /// The canister's version.
    pub version: u64,
    /// 1 running, 2 stopping, 3 stopped.
    pub status: i32,
    /// Its cycles.
    pub cycles: u128,
    /// Its controllers.
    pub controllers: Arc<[Principal]>,
    /// Its environment variables.
    pub environment: Arc<BTreeMap<String, String>>,
    /// The subnet.
    pub subnet: Principal,
    /// The network's root key, DER.
    pub root_key: Arc<[u8]>,
    /// The certificate of its certified data, for queries.
    pub certificate: Option<Arc<[u8]>>,
    /// When its global timer is due; 0 when it is not set.
    pub timer: u64,
    /// The message.
    pub message: Message,
    /// How many calls are under way to each callee.
    pub outstanding: Arc<BTreeMap<Principal, usize>>,
}

/// What an execution may use.
#[derive(Debug, Clone, Copy)]
pub struct Budget {
    /// Instructions.
    pub instructions: u64,
    /// Bytes of heap.
    pub heap: u64,
    /// Wasm pages of stable memory.
    pub stable_pages: u64,
    /// Bytes that both memories together may grow by.
    pub growth: Growth,
    /// Bytes of stable memory, by whole pages, that it may change.
    pub dirty: u64,
    /// Elements that all its tables together may have.
    pub table: usize,
    /// Bytes of a reply.
    pub reply: usize,
    /// Bytes that the calls it makes may take while they wait.
    pub calls: u64,
    /// Bytes that are kept of what it prints.
    pub logs: usize,
}

/// One execution of an entry point; the data of its wasmtime store.
#[derive(Debug)]
pub struct Execution {
    kind: Contexts,
    view: View,
    budget: Budget,
    memory: Option<Memory>,
    /// Bytes of heap before it.
    held: u64,
    pending: Vec<u8>,
    /// The call between `call_new` and `call_perform`.
    building: Option<Outgoing>,
    /// How many of the calls it made go to each callee.
    performed: BTreeMap<Principal, usize>,
    /// Cycles attached to calls that it made.
    pub attached: u128,
    /// Calls it made.
    pub calls: Vec<Outgoing>,
    /// Cycles that may still be accepted.
    pub available: u128,
    /// Cycles accepted.
    pub taken: u128,
    /// Cycles that were not accepted when it answered.
    pub refund: u128,
    /// What it set the global timer to.
    pub timer: Option<u64>,
    /// How it answered.
    pub answer: Option<Answer>,
    /// What it did to stable memory.
    pub stable: Overlay,
    /// What it set as certified data.
    pub certified: Option<Vec<u8>>,
    /// Whether `accept_message` was called.
    pub accepted: bool,
    /// Cycles burnt.
    pub burnt: u128,
    /// Whether a `memory.grow` failed because of the limit on the heap.
    pub heap_limit_hit: bool,
    /// What it printed, in replicated mode.
    pub logs: Logs,
}

impl Execution {
    /// An execution that has not begun; `held` is the size of the heap before it.
    pub fn new(kind: Contexts, view: View, budget: Budget, held: u64, stable: Overlay) -> Self {
        Self {
            kind,
            budget,
            memory: None,
            held,
            pending: Vec::new(),
            building: None,
            performed: BTreeMap::new(),
            attached: 0,
            calls: Vec::new(),
            available: view.message.available,
            taken: 0,
            refund: 0,
            timer: None,
            view,
            answer: None,
            stable,
            certified: None,
            accepted: false,
            burnt: 0,
            heap_limit_hit: false,
            logs: Logs::default(),
        }
    }

    /// Keeps what it printed, unless it runs in non-replicated mode: then nothing of it is part of the state.
    pub fn print(&mut self, text: &[u8]) {
        if REPLICATED.allows(self.kind) {
            self.logs.push(self.budget.logs, self.view.time, text);
        }
    }

    /// Tells it where the canister's memory is.
    pub fn attach(&mut self, memory: Option<Memory>) {
        self.memory = memory;
    }

    /// The canister's memory.
    #[cfg(feature = "faults")]
    pub fn memory(&self) -> Option<Memory> {
        self.memory
    }

    /// What the canister has left of its cycles.
    fn balance(&self) -> u128 {
        let building = self.building.as_ref().map_or(0, |outgoing| outgoing.cycles);
        let has = self.view.cycles.saturating_add(self.taken);
        // Nothing is burnt or attached that was not there.
        has.saturating_sub(self.burnt)
            .saturating_sub(self.attached)
            .saturating_sub(building)
    }

    /// Gives the answer. What was not accepted by now goes back.
    fn give(&mut self, answer: Answer) {
        self.answer = Some(answer);
        self.refund = self.available;
        if !broken(Fault::AvailableAfterAnswer) {
            self.available = 0;
        }
    }

    /// Switches from the start function to the entry point proper.
    pub fn set_kind(&mut self, kind: Contexts) {
        self.kind = kind;
    }
}

impl ResourceLimiter for Execution {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        // What it had before the message is given back to it first, and is no growth.
        let by = (desired as u64).saturating_sub(self.held.max(current as u64));
        let left = &mut self.budget.growth;
        let fits = desired as u64 <= self.budget.heap && by * HEAP_FACTOR <= left.node && by <= left.canister;
        self.heap_limit_hit |= !fits;
        if fits {
            left.node -= by * HEAP_FACTOR;
            left.canister -= by;
        }
        Ok(fits)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let by = desired.saturating_sub(current);
        let fits = by <= self.budget.table && maximum.is_none_or(|maximum| desired <= maximum);
        if fits {
            self.budget.table -= by;
        }
        Ok(fits)
    }
}

/// A pointer or size in the canister's memory: i32 or i64, by the memory's index type.
pub trait Index: WasmTy + Copy {
    /// As an unsigned number.
    fn get(self) -> u64;
    /// From a size that fits.
    fn of(size: usize) -> Self;
}

impl Index for u32 {
    fn get(self) -> u64 {
        u64::from(self)
    }

    fn of(size: usize) -> Self {
        // Everything that is shown to a canister is far smaller than 4 GiB.
        Self::try_from(size).unwrap_or(Self::MAX)
    }
}

impl Index for u64 {
    fn get(self) -> u64 {
        self
    }

    fn of(size: usize) -> Self {
        size as u64
    }
}

/// Adds every function for a memory index type.
pub fn link<I: Index>(linker: &mut Linker<Execution>) -> wasmtime::Result<()> {
    message::link::<I>(linker)?;
    canister::link::<I>(linker)?;
    cycles::link::<I>(linker)?;
    certified::link::<I>(linker)?;
    stable::link(linker)?;
    calls::link::<I>(linker)?;
    cost::link::<I>(linker)
}

/// Adds the functions that exist only for 32-bit canisters.
pub fn link_legacy(linker: &mut Linker<Execution>) -> wasmtime::Result<()> {
    legacy::link(linker)
}
