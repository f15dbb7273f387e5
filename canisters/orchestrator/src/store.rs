//! The structures in stable memory, with typed access. What is read is checked; nothing is kept on the heap but the
//! header and the peaks of the tree.

use dcanary_types::{
    Hash, Value,
    block::Block,
    cbor,
    policy::{Policy, Role, RoleKind},
    tree::NodeSource,
};
use ic_stable_structures::{Memory, StableBTreeMap, StableCell, StableLog, StableVec};
use thiserror::Error;

use crate::{
    entry::{Header, RunEntry, Usage},
    memory::{self, Memories, Part},
};

/// What can only happen when stable memory is not what this canister wrote, or cannot grow.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum StoreError {
    /// A stored value cannot be read.
    #[error("the stored {what} cannot be read: {why}")]
    Corrupt {
        /// Which value.
        what: &'static str,
        /// Why.
        why: String,
    },
    /// A stored value is of a version that this canister does not know.
    #[error("the stored {what} has version {version}, which this canister does not know")]
    Version {
        /// Which value.
        what: &'static str,
        /// Its version.
        version: u64,
    },
    /// Something that must be stored is not.
    #[error("the {0} is missing")]
    Missing(&'static str),
    /// There is no ledger in stable memory.
    #[error("there is no ledger here yet; install with `variant {{ Init = record {{ owner }} }}`")]
    Empty,
    /// There is a ledger in stable memory.
    #[error("there is a ledger here already; upgrade with `variant {{ Upgrade }}`")]
    NotEmpty,
    /// Stable memory cannot grow.
    #[error("stable memory cannot grow")]
    Full,
}

/// The domain a role is held under, behind its version.
const ROLE_VERSION: u8 = 1;

/// Everything the ledger stores.
pub struct Store<M: Memory> {
    memories: Memories<M>,
    header: StableCell<Vec<u8>, Part<M>>,
    blocks: StableLog<Vec<u8>, Part<M>, Part<M>>,
    nodes: StableVec<Hash, Part<M>>,
    runs: StableBTreeMap<Vec<u8>, Vec<u8>, Part<M>>,
    receipts: StableBTreeMap<[u8; 16], u64, Part<M>>,
    graphs: StableBTreeMap<u64, Vec<u8>, Part<M>>,
    machines: StableBTreeMap<u64, Vec<u8>, Part<M>>,
    roles: StableBTreeMap<Vec<u8>, Vec<u8>, Part<M>>,
    usage: StableBTreeMap<Vec<u8>, Vec<u8>, Part<M>>,
    conflicts: StableBTreeMap<[u8; 48], u64, Part<M>>,
}

impl<M: Memory + Clone> Store<M> {
    /// Opens what is there; reads a fixed number of headers however large the journal is.
    pub fn open(memory: M) -> Self {
        let memories = Memories::new(memory);
        let part = |id| memories.part(id);
        Self {
            header: StableCell::init(part(memory::HEADER), Vec::new()),
            blocks: StableLog::init(part(memory::BLOCK_INDEX), part(memory::BLOCK_DATA)),
            nodes: StableVec::init(part(memory::NODES)),
            runs: StableBTreeMap::init(part(memory::RUNS)),
            receipts: StableBTreeMap::init(part(memory::RECEIPTS)),
            graphs: StableBTreeMap::init(part(memory::GRAPHS)),
            machines: StableBTreeMap::init(part(memory::MACHINES)),
            roles: StableBTreeMap::init(part(memory::ROLES)),
            usage: StableBTreeMap::init(part(memory::USAGE)),
            conflicts: StableBTreeMap::init(part(memory::CONFLICTS)),
            memories,
        }
    }

    /// Makes room for one more message.
    pub fn reserve(&self) -> bool {
        self.memories.reserve()
    }

    /// The header, if there is a ledger.
    ///
    /// # Errors
    /// When the stable memory does not hold what it should.
    pub fn header(&self) -> Result<Option<Header>, StoreError> {
        let bytes = self.header.get();
        if bytes.is_empty() {
            Ok(None)
        } else {
            Header::decode(bytes).map(Some)
        }
    }

    /// Replaces the header.
    pub fn set_header(&mut self, header: &Header) {
        self.header.set(header.encode());
    }

    /// Number of blocks.
    pub fn size(&self) -> u64 {
        self.blocks.len()
    }

    /// Their encoded bytes.
    pub fn bytes(&self) -> u64 {
        self.blocks.log_size_bytes()
    }

    /// An encoded block.
    pub fn block_bytes(&self, index: u64) -> Option<Vec<u8>> {
        self.blocks.get(index)
    }

    /// A block.
    ///
    /// # Errors
    /// When the stable memory does not hold what it should.
    pub fn block(&self, index: u64) -> Result<Block, StoreError> {
        let bytes = self.blocks.get(index).ok_or(StoreError::Missing("block"))?;
        Block::decode(&bytes).map_err(|why| StoreError::Corrupt {
            what: "block",
            why: why.to_string(),
        })
    }

    /// Appends a block and the tree nodes that are final with it.
    ///
    /// # Errors
    /// When the stable memory does not hold what it should.
    pub fn push_block(&mut self, block: &[u8], nodes: &[Hash]) -> Result<u64, StoreError> {
        let index = self
            .blocks
            .append(&block.to_vec())
            .map_err(|_| StoreError::Full)?;
        for node in nodes {
            self.nodes.push(node);
        }
        Ok(index)
    }

    /// A run.
    ///
    /// # Errors
    /// When the stable memory does not hold what it should.
    pub fn run(&self, key: &RunKey) -> Result<Option<RunEntry>, StoreError> {
        self.runs
            .get(&key.0)
            .map(|bytes| RunEntry::decode(&bytes))
            .transpose()
    }

    /// Replaces a run.
    pub fn set_run(&mut self, key: &RunKey, entry: &RunEntry) {
        self.runs.insert(key.0.clone(), entry.encode());
    }

    /// The block of a record.
    pub fn receipt(&self, run: u64, n: u64) -> Option<u64> {
        self.receipts.get(&receipt_key(run, n))
    }

    /// Notes the block of a record.
    pub fn set_receipt(&mut self, run: u64, n: u64, index: u64) {
        self.receipts.insert(receipt_key(run, n), index);
    }

    /// The blocks of a run from record `n` on.
    pub fn receipts_from(&self, run: u64, n: u64, limit: usize) -> Vec<u64> {
        let range = receipt_key(run, n)..=receipt_key(run, u64::MAX);
        self.receipts
            .range(range)
            .take(limit)
            .map(|entry| entry.value())
            .collect()
    }

    /// State of an open run or environment.
    ///
    /// # Errors
    /// When the stable memory does not hold what it should.
    pub fn machine(&self, run: u64) -> Result<Option<Value>, StoreError> {
        let Some(bytes) = self.machines.get(&run) else {
            return Ok(None);
        };
        cbor::decode(&bytes).map(Some).map_err(|why| StoreError::Corrupt {
            what: "state of a run",
            why: why.to_string(),
        })
    }

    /// Graph document of an open run.
    pub fn graph(&self, run: u64) -> Option<Vec<u8>> {
        self.graphs.get(&run)
    }

    /// Keeps the graph document of a run that opens.
    pub fn set_graph(&mut self, run: u64, graph: Vec<u8>) {
        self.graphs.insert(run, graph);
    }

    /// Replaces the state of an open run or environment.
    pub fn set_machine(&mut self, run: u64, machine: &Value) {
        self.machines.insert(run, cbor::encode(machine));
    }

    /// Forgets graph and state of a run or environment that has ended.
    pub fn close_run(&mut self, run: u64) {
        self.graphs.remove(&run);
        self.machines.remove(&run);
    }

    /// What a principal used.
    ///
    /// # Errors
    /// When the stable memory does not hold what it should.
    pub fn usage(&self, principal: &[u8]) -> Result<Usage, StoreError> {
        let stored = self.usage.get(&principal.to_vec());
        stored.map_or_else(|| Ok(Usage::default()), |bytes| Usage::decode(&bytes))
    }

    /// Replaces what a principal used.
    pub fn set_usage(&mut self, principal: &[u8], usage: &Usage) {
        self.usage.insert(principal.to_vec(), usage.encode());
    }

    /// The block of a conflict.
    pub fn conflict(&self, run: u64, n: u64, offered: &Hash) -> Option<u64> {
        self.conflicts.get(&conflict_key(run, n, offered))
    }

    /// Notes the block of a conflict.
    pub fn set_conflict(&mut self, run: u64, n: u64, offered: &Hash, index: u64) {
        self.conflicts.insert(conflict_key(run, n, offered), index);
    }

    /// The domain under which a principal holds a role, if it does.
    ///
    /// # Errors
    /// When the stable memory does not hold what it should.
    pub fn role(
        &self,
        principal: &[u8],
        kind: RoleKind,
        project: &str,
    ) -> Result<Option<String>, StoreError> {
        self.roles
            .get(&role_key(principal, kind, project))
            .map(|bytes| read_domain(&bytes))
            .transpose()
    }

    /// Whether a principal holds any role.
    pub fn has_role(&self, principal: &[u8]) -> bool {
        let prefix = role_prefix(principal);
        self.roles
            .range(prefix.clone()..)
            .next()
            .is_some_and(|entry| entry.key().starts_with(&prefix))
    }

    /// Stores a role.
    pub fn set_role(&mut self, role: &Role) {
        let domain = [&[ROLE_VERSION], role.domain.as_bytes()].concat();
        self.roles
            .insert(role_key(&role.principal, role.role, &role.project), domain);
    }

    /// Takes a role away.
    pub fn remove_role(&mut self, role: &Role) {
        self.roles
            .remove(&role_key(&role.principal, role.role, &role.project));
    }

    /// The policy document.
    ///
    /// # Errors
    /// When the stable memory does not hold what it should.
    pub fn policy(&self, version: u64) -> Result<Policy, StoreError> {
        let roles = self
            .roles
            .iter()
            .map(|entry| read_role(entry.key(), &entry.value()));
        Ok(Policy::new(
            version,
            roles.collect::<Result<Vec<Role>, StoreError>>()?,
        ))
    }
}

impl<M: Memory> NodeSource for Store<M> {
    fn node(&self, position: u64) -> Option<Hash> {
        self.nodes.get(position)
    }
}

/// The key of a run: project, domain and UID. None of them contains a zero byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunKey(Vec<u8>);

impl RunKey {
    /// The key of a run whose names are well formed.
    pub fn new(project: &str, domain: &str, run: &str) -> Self {
        Self([project, domain, run].join("\0").into_bytes())
    }
}

fn receipt_key(run: u64, n: u64) -> [u8; 16] {
    ((u128::from(run) << 64) | u128::from(n)).to_be_bytes()
}

fn conflict_key(run: u64, n: u64, offered: &Hash) -> [u8; 48] {
    let mut key = [0; 48];
    key[..16].copy_from_slice(&receipt_key(run, n));
    key[16..].copy_from_slice(offered);
    key
}

/// Length and principal: no principal's prefix is the prefix of another's.
fn role_prefix(principal: &[u8]) -> Vec<u8> {
    let length = u8::try_from(principal.len()).unwrap_or(u8::MAX);
    [&[length], principal].concat()
}

fn role_key(principal: &[u8], kind: RoleKind, project: &str) -> Vec<u8> {
    let kind = match kind {
        RoleKind::Owner => 0,
        RoleKind::Operator => 1,
    };
    [role_prefix(principal).as_slice(), &[kind], project.as_bytes()].concat()
}

fn read_role(key: &[u8], value: &[u8]) -> Result<Role, StoreError> {
    let corrupt = || StoreError::Corrupt {
        what: "role",
        why: "its key is malformed".to_owned(),
    };
    let (length, rest) = key.split_first().ok_or_else(corrupt)?;
    let (principal, rest) = rest.split_at_checked(usize::from(*length)).ok_or_else(corrupt)?;
    let (kind, project) = rest.split_first().ok_or_else(corrupt)?;
    let role = match kind {
        0 => RoleKind::Owner,
        1 => RoleKind::Operator,
        _ => return Err(corrupt()),
    };
    let project = String::from_utf8(project.to_vec()).map_err(|_| corrupt())?;
    Ok(Role {
        project,
        principal: principal.to_vec(),
        role,
        domain: read_domain(value)?,
    })
}

fn read_domain(bytes: &[u8]) -> Result<String, StoreError> {
    let corrupt = || StoreError::Corrupt {
        what: "role",
        why: "its domain is malformed".to_owned(),
    };
    match bytes.split_first() {
        Some((&ROLE_VERSION, domain)) => String::from_utf8(domain.to_vec()).map_err(|_| corrupt()),
        Some((version, _)) => Err(StoreError::Version {
            what: "role",
            version: u64::from(*version),
        }),
        None => Err(corrupt()),
    }
}
