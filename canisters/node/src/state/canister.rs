//! One canister. A version never changes; executing makes the next one.

use crate::cert::tree::Tree;
use crate::cert::trie::{Hash, Subtree};
use crate::faults::{Fault, broken};
use crate::heap::stable::Stable;
use crate::heap::wasm_memory::Heap;
use crate::state::chunks::Chunks;
use crate::state::history::History;
use crate::state::logs::Logs;
use crate::wasm::engine::{Compiled, Engine};
use crate::wasm::inspect::ModuleError;
use crate::wire::cbor;
use crate::wire::hash::{leb128, sha256};
use candid::Nat;
use ic_management_canister_types::DefiniteCanisterSettings;
use ic_principal::Principal;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Installed code.
#[derive(Debug)]
pub struct Code {
    /// What was uploaded.
    pub wasm: Arc<[u8]>,
    /// SHA-256 of what was uploaded: the module hash.
    pub hash: Hash,
    /// Ready to run.
    pub compiled: Arc<Compiled>,
    /// The subtree `metadata`, or `None` when there is none.
    metadata: Option<Tree>,
}

impl Code {
    /// Checks and compiles a module.
    pub fn new(wasm: Arc<[u8]>, engine: &Engine) -> Result<Self, ModuleError> {
        let compiled = engine.compile(&wasm)?;
        let sections = &compiled.info.metadata;
        let metadata = (!sections.is_empty()).then(|| {
            Tree::map(
                sections
                    .iter()
                    .map(|(name, section)| (name, Tree::leaf(&section.content))),
            )
        });
        let hash = sha256(&wasm);
        #[cfg(feature = "faults")]
        let hash = crate::faults::kept::module_hash(hash);
        Ok(Self {
            wasm,
            hash,
            compiled,
            metadata,
        })
    }
}

/// Whether a canister takes messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// Takes messages.
    Running,
    /// Takes none.
    Stopped,
    /// Takes none but answers to its own calls, until the last of its call contexts has ended.
    Stopping,
}

/// See the module documentation.
#[derive(Debug, Clone)]
pub struct Canister {
    /// Its id.
    pub id: Principal,
    /// Its settings, all of them set.
    pub settings: DefiniteCanisterSettings,
    /// Whether it takes messages.
    pub status: Status,
    /// Counts changes.
    pub version: u64,
    /// Its cycles.
    pub cycles: u128,
    /// When its global timer is due, nanoseconds since 1970; 0 when it is not set.
    pub timer: u64,
    /// Its certified data.
    pub certified: Vec<u8>,
    /// Its code; `None` when it is empty.
    pub code: Option<Arc<Code>>,
    /// Its heap.
    pub heap: Heap,
    /// Its stable memory.
    pub stable: Stable,
    /// When it was created, nanoseconds since 1970; `None` when that was before this was recorded.
    pub created: Option<u64>,
    /// When its code was last installed or upgraded; `None` when it is empty, or that was before this was recorded.
    pub installed: Option<u64>,
    /// Its chunk store.
    pub chunks: Chunks,
    /// Its history.
    pub history: History,
    /// What it printed.
    pub logs: Logs,
}

impl Canister {
    /// An empty canister.
    pub fn new(id: Principal, settings: DefiniteCanisterSettings, cycles: u128) -> Self {
        Self {
            id,
            settings,
            status: Status::Running,
            version: 0,
            cycles,
            timer: 0,
            certified: Vec::new(),
            code: None,
            heap: Heap::default(),
            stable: Stable::default(),
            created: None,
            installed: None,
            chunks: Chunks::default(),
            history: History::default(),
            logs: Logs::default(),
        }
    }

    /// Whether somebody controls it.
    pub fn is_controlled_by(&self, who: &Principal) -> bool {
        self.settings.controllers.contains(who)
    }

    /// The subtree `/canister/<id>`.
    ///
    /// Source: IC interface specification, "Canister information".
    pub fn tree(&self) -> Tree {
        let mut labels = vec![("controllers", Tree::leaf(self.encoded_controllers()))];
        let times = !broken(Fault::NoTimestamps);
        if let Some(created) = self.created.filter(|_| times) {
            labels.push(("canister_creation_timestamp", Tree::leaf(leb128(created))));
        }
        if let Some(code) = &self.code {
            labels.push(("certified_data", Tree::leaf(&self.certified)));
            labels.push(("module_hash", Tree::leaf(code.hash)));
            if let Some(installed) = self.installed.filter(|_| times) {
                labels.push(("last_install_timestamp", Tree::leaf(leb128(installed))));
            }
            if let Some(metadata) = &code.metadata {
                labels.push(("metadata", metadata.clone()));
            }
        }
        Tree::map(labels)
    }

    fn encoded_controllers(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        cbor::write_tag(&mut out);
        if broken(Fault::HideControllers) {
            cbor::write_array(&mut out, 0);
            return out;
        }
        cbor::write_array(&mut out, self.settings.controllers.len() as u64);
        for controller in &self.settings.controllers {
            cbor::write_bytes(&mut out, controller.as_slice());
        }
        out
    }

    /// The limit on the heap in bytes that its owner set; zero means none.
    pub fn heap_limit(&self) -> u64 {
        nat_to_u64(&self.settings.wasm_memory_limit)
    }

    /// How many cycles a call of another canister has to bring.
    pub fn least_cycles(&self) -> u128 {
        u128::try_from(&self.settings.minimum_incoming_canister_call_cycles.0).unwrap_or(u128::MAX)
    }

    /// How many bytes of what it prints are kept.
    pub fn log_limit(&self) -> usize {
        usize::try_from(nat_to_u64(&self.settings.log_memory_limit)).unwrap_or(usize::MAX)
    }

    /// Adds what an execution printed.
    pub fn append_logs(&mut self, printed: &Logs) {
        let limit = self.log_limit();
        self.logs.append(printed, limit);
    }
}

/// A natural number as u64, the largest when it does not fit.
pub fn nat_to_u64(nat: &Nat) -> u64 {
    u64::try_from(&nat.0).unwrap_or(u64::MAX)
}

impl Subtree for Arc<Canister> {
    fn hash(&self) -> Hash {
        self.tree().hash()
    }
}
