//! How much an execution may use.
//!
//! Source: IC resource limits. They are part of what a batch means, so a log names them (see [`Limits::fingerprint`]).

use super::quota::Growth;
use crate::faults::{Fault, broken};
use crate::heap::stable::MAX_STABLE_PAGES;
use crate::heap::wasm_memory::{WASM_PAGE, most_pages};
use crate::state::canister::Canister;
use crate::sysapi::Budget;
use crate::sysapi::context::{Contexts, REPLICATED};
use crate::wasm::engine::SEMANTICS;
use crate::wire::hash::{Hash, sha256};

/// Largest reply of an update.
const MAX_REPLY: usize = 2 << 20;
/// Largest reply of a query.
const MAX_QUERY_REPLY: usize = 3 << 20;
/// Bytes of stable memory that an execution may change even when the node has no memory to spare: it holds the old pages and the new.
pub const LEAST_DIRTY: u64 = 32 << 20;
/// Elements of all tables together.
const MAX_TABLE: usize = 1_000_000;

/// Instruction limits by kind of message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// An update.
    pub update: u64,
    /// A query.
    pub query: u64,
    /// Each step of an install or upgrade.
    pub install: u64,
    /// `canister_inspect_message`.
    pub inspect: u64,
    /// Instructions after which a batch begins no further message of a user; the rest waits for the next batch. One is always
    /// executed, so that a batch takes this and what its last message may use.
    pub ingress_instructions: u64,
    /// Instructions after which a batch begins no further timer; those that are left are due in the next one. One is always run.
    pub timers_instructions: u64,
    /// Calls and answers between canisters that a batch executes; the rest waits for the next batch.
    pub messages: u64,
    /// Instructions after which a batch begins no further one of them. One is always executed.
    pub messages_instructions: u64,
    /// Bytes that all waiting calls between canisters may take, and the records of all that are under way; beyond, `call_perform` refuses.
    pub waiting: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            update: 40_000_000_000,
            query: 5_000_000_000,
            install: 300_000_000_000,
            inspect: 200_000_000,
            ingress_instructions: 2_000_000_000,
            timers_instructions: 2_000_000_000,
            messages: 1_000,
            messages_instructions: 2_000_000_000,
            waiting: 64 << 20,
        }
    }
}

impl Limits {
    /// Names everything besides the batches that the state depends on.
    pub fn fingerprint(&self) -> Hash {
        // The version, because a message's text is part of the state too.
        let version = env!("CARGO_PKG_VERSION");
        sha256(format!("{SEMANTICS} {version} {} {self:?}", std::env::consts::ARCH).as_bytes())
    }
}

/// Executions for which the limit holds that an owner sets on the heap. The IC interface specification ignores it for queries, callbacks,
/// timers, heartbeats and `canister_pre_upgrade` (`wasm_memory_limit`).
const LIMITED: Contexts = Contexts::I.or(Contexts::U);

/// The budget of an execution of a canister whose memories may grow so much.
pub fn budget(canister: &Canister, kind: Contexts, instructions: u64, growth: Growth) -> Budget {
    let memory64 = canister
        .code
        .as_ref()
        .is_some_and(|code| code.compiled.info.memory64);
    let most = most_pages(memory64) * WASM_PAGE;
    let heap = match canister.heap_limit() {
        limit if limit > 0 && LIMITED.allows(kind) && !broken(Fault::IgnoreLimits) => limit.min(most),
        _ => most,
    };
    let reply = if REPLICATED.allows(kind) {
        MAX_REPLY
    } else {
        MAX_QUERY_REPLY
    };
    let dirty = if REPLICATED.allows(kind) {
        growth.node.max(LEAST_DIRTY)
    } else {
        LEAST_DIRTY
    };
    Budget {
        instructions,
        heap,
        stable_pages: MAX_STABLE_PAGES,
        growth,
        dirty,
        table: MAX_TABLE,
        reply,
        calls: 0,
        logs: canister.log_limit(),
    }
}
