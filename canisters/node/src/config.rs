//! How a node runs.

use crate::creators::Creators;
use crate::exec::limits::Limits;
use crate::http::serve::ConnectionLimits;
use crate::mode::Mode;
use crate::node::StartError;
use crate::quotas::Quotas;
use crate::replica::clock::Clocks;
use crate::wasm::engine::Engine;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of a log segment when nothing else is said.
const SEGMENT_BYTES: u64 = 64 << 20;

/// Where the state lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Storage {
    Memory,
    Folder(PathBuf),
}

/// How a node runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) storage: Storage,
    pub(crate) limits: Limits,
    pub(crate) segment_bytes: u64,
    pub(crate) keys: Option<PathBuf>,
    pub(crate) memory_limit: u64,
    pub(crate) creators: Creators,
    pub(crate) mode: Mode,
    pub(crate) quotas: Option<Quotas>,
    pub(crate) connections: ConnectionLimits,
    pub(crate) clocks: Clocks,
    pub(crate) modules: Option<Modules>,
}

/// Compiled modules that several nodes of one process share: what one has compiled, the others need not.
#[derive(Debug, Clone)]
pub struct Modules(pub(crate) Arc<Engine>);

impl PartialEq for Modules {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Modules {}

impl Modules {
    /// None yet.
    ///
    /// # Errors
    /// When the engine cannot be set up.
    pub fn new() -> Result<Self, StartError> {
        Ok(Self(Arc::new(Engine::new()?)))
    }
}

impl Config {
    /// A node that forgets everything when it ends, on a free port of the loopback interface.
    pub fn ephemeral() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            storage: Storage::Memory,
            limits: Limits::default(),
            segment_bytes: SEGMENT_BYTES,
            keys: None,
            memory_limit: u64::MAX,
            creators: Creators::Anyone,
            mode: Mode::Dev,
            quotas: None,
            connections: ConnectionLimits::default(),
            clocks: Clocks::System,
            modules: None,
        }
    }

    /// A node that keeps its state in a folder, on a free port of the loopback interface.
    pub fn durable(folder: impl Into<PathBuf>) -> Self {
        Self {
            storage: Storage::Folder(folder.into()),
            ..Self::ephemeral()
        }
    }

    /// Listens at another address. Port 0 takes a free one.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Signs with the keys in this file instead of keys in the data folder. The folder notes the root key: with another one it
    /// refuses to start.
    pub fn keys(mut self, file: impl Into<PathBuf>) -> Self {
        self.keys = Some(file.into());
        self
    }

    /// Ends a log segment, and writes a checkpoint, after so many bytes (64 MiB when not set).
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Bytes that all canisters together may take (no limit when not set). Creating, installing and growing beyond it are
    /// refused; canisters see that their memories cannot grow.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.memory_limit = bytes;
        self
    }

    /// Who may create canisters (anyone when not set).
    pub fn creators(mut self, creators: Creators) -> Self {
        self.creators = creators;
        self
    }

    /// What it is for (developing when not set).
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// What one canister may use (the mode's when not set; see [`Quotas::of`]).
    pub fn quotas(mut self, quotas: Quotas) -> Self {
        self.quotas = Some(quotas);
        self
    }

    pub(crate) fn effective_quotas(&self) -> Quotas {
        self.quotas.unwrap_or_else(|| Quotas::of(self.mode))
    }

    /// Limits connections: how many at once (256 when not set; more wait, and one peer has at most half of them), how long the head of a request may take (30 s) and
    /// how long its body (20 s).
    pub fn connections(mut self, at_once: usize, head: Duration, body: Duration) -> Self {
        self.connections = ConnectionLimits {
            connections: at_once,
            head,
            body,
            ..self.connections
        };
        self
    }

    /// Bytes of bodies beyond 64 KiB each that are held at once (64 MiB when not set, 4 MiB at least). Others wait for room within
    /// the time that a body has.
    pub fn bodies(mut self, bytes: usize) -> Self {
        self.connections.bodies = bytes;
        self
    }

    /// How long a client may read nothing while there is an answer for it (20 s when not set); then its connection ends.
    pub fn unread(mut self, patience: Duration) -> Self {
        self.connections.write = patience;
        self
    }

    /// Compiles for, and takes from, all nodes with the same modules, and keeps nothing compiled with the data.
    pub fn modules(mut self, modules: Modules) -> Self {
        self.modules = Some(modules);
        self
    }

    /// Another clock.
    #[cfg(test)]
    pub(crate) fn clocks(mut self, clocks: Clocks) -> Self {
        self.clocks = clocks;
        self
    }

    /// Limits the instructions of an update and of a query; for tests of canisters that loop. A log is replayed only
    /// under the limits that it was written under.
    pub fn instruction_limits(mut self, update: u64, query: u64) -> Self {
        self.limits.update = update;
        self.limits.query = query;
        self
    }
}
