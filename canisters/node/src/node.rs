//! The node as a whole: data folder, keys, recovery, threads, HTTP server.

mod error;
mod keys;

use crate::backup;
use crate::cert::keys::Keys;
use crate::cert::view::Views;
use crate::config::{Config, Modules, Storage};
use crate::creators::Creators;
use crate::exec::batch::Permissions;
use crate::exec::call::{Executor, Network};
use crate::exec::limits::Limits;
use crate::exec::machine::Machine;
use crate::exec::memory::MemoryUse;
use crate::http::serve::{ConnectionLimits, serve};
use crate::http::{Api, router};
use crate::log::disk::{Disk, Folder};
use crate::log::replay::{Recovered, recover};
use crate::mode::Mode;
use crate::replica::clock::Clock;
use crate::replica::traffic::Traffic;
use crate::replica::{Durability, Failure, Policy, Replica};
use crate::state::State;
use crate::wasm::cache::Cache;
use crate::wasm::engine::{Engine, EngineError};
pub use error::{NodeFailed, StartError};
use keys::LoadError;
pub(crate) use keys::{KEYS, ROOT_KEY};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How long open connections may keep a node from stopping.
const GRACE: Duration = Duration::from_secs(2);

/// A running Internet Computer node. Several can run in one process.
///
/// Dropping it stops it in the background; only [`Node::shutdown`] tells when the data folder is free again.
#[derive(Debug)]
pub struct Node {
    address: SocketAddr,
    root_key: Vec<u8>,
    api: Arc<Api>,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<()>,
}

impl Node {
    /// Starts a node: restores its state, listens, serves. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the folder is in use, damaged or not accessible, or the address is taken.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        Self::start_telling(config, || ()).await
    }

    /// The same, which calls `held` when no other node can have the data folder any more and before its state is restored, which may take
    /// minutes: now what one that was killed has left elsewhere is nobody's.
    ///
    /// # Errors
    /// As for [`Node::start`].
    pub async fn start_telling(
        config: Config,
        held: impl FnOnce() + Send + 'static,
    ) -> Result<Self, StartError> {
        let (listen, connections) = (config.listen, config.connections);
        Self::start_with(listen, connections, move || restore(&config, held)).await
    }

    /// Starts a node on another disk than a folder.
    #[cfg(test)]
    pub(crate) async fn start_on(disk: Arc<dyn Disk>, config: Config) -> Result<Self, StartError> {
        let (listen, connections) = (config.listen, config.connections);
        Self::start_with(listen, connections, move || open(&disk, Path::new("."), &config)).await
    }

    /// Makes it fail.
    #[cfg(test)]
    pub(crate) fn fail(&self, reason: &str) {
        self.failure().set(reason);
    }

    /// Bytes of calls that wait to be ordered.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.api.replica.waiting()
    }

    /// What compiles its modules.
    #[cfg(test)]
    pub(crate) fn engine(&self) -> &Engine {
        &self.api.replica.executor.engine
    }

    /// What readers see, also after the node has stopped.
    #[cfg(test)]
    pub(crate) fn views(&self) -> Arc<Views> {
        self.api.replica.views.clone()
    }

    async fn start_with(
        listen: SocketAddr,
        connections: ConnectionLimits,
        restore: impl FnOnce() -> Result<Api, StartError> + Send + 'static,
    ) -> Result<Self, StartError> {
        let listener = TcpListener::bind(listen)
            .await
            .map_err(|source| StartError::Listen {
                address: listen,
                source,
            })?;
        let address = listener.local_addr().map_err(|source| StartError::Listen {
            address: listen,
            source,
        })?;
        // Restoring reads files, compiles and replays: not for an async thread, and not for its small stack.
        let (done, restored) = oneshot::channel();
        std::thread::Builder::new()
            .name("restore".into())
            .stack_size(crate::wasm::engine::THREAD_STACK)
            .spawn(move || drop(done.send(restore())))
            .map_err(StartError::Threads)?;
        let api = restored
            .await
            .map_err(|_| StartError::Threads(io::Error::other("restoring was interrupted")))??;
        let api = Arc::new(api);
        let (stop, stopped) = oneshot::channel::<()>();
        let service = router(api.clone(), &connections);
        let (failure, metrics) = (api.replica.failure.clone(), api.replica.metrics.clone());
        let server = tokio::spawn(async move {
            let stopping = async move {
                tokio::select! {
                    _ = stopped => {}
                    _ = failure.wait() => {}
                }
            };
            serve(listener, service, connections, metrics, stopping).await;
        });
        Ok(Self {
            address,
            root_key: api.keys.root.der().to_vec(),
            api,
            stop: Some(stop),
            server,
        })
    }

    /// Where it serves, as a URL. Of one that listens at all addresses it is one that a client here can use.
    pub fn url(&self) -> String {
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        format!("http://{address}")
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The root key that clients must pin, DER.
    pub fn root_key(&self) -> &[u8] {
        &self.root_key
    }

    /// How much memory the canisters take. Walks over all of it: for measurements.
    pub fn memory(&self) -> MemoryUse {
        MemoryUse::of(&self.api.replica.views.latest().state)
    }

    /// Waits until the node cannot go on. Never returns while it works.
    pub async fn failed(&self) -> NodeFailed {
        NodeFailed(self.failure().wait().await.to_string())
    }

    fn failure(&self) -> Failure {
        self.api.replica.failure.clone()
    }

    /// Stops serving, orders what was accepted and executes of it what a batch may, writes a checkpoint. The rest is executed after
    /// the next start.
    ///
    /// # Errors
    /// When the node failed before, or could not write what it had to.
    pub async fn shutdown(mut self) -> Result<(), NodeFailed> {
        if let Some(stop) = self.stop.take() {
            // Nobody listens any more when the server has ended by itself.
            let _ = stop.send(());
        }
        if tokio::time::timeout(GRACE, &mut self.server).await.is_err() {
            self.server.abort();
        }
        let api = self.api.clone();
        let stopped = tokio::task::spawn_blocking(move || api.replica.stop()).await;
        match (stopped, self.failure().get()) {
            (_, Some(reason)) => Err(NodeFailed(reason.to_string())),
            (Err(error), None) => Err(NodeFailed(error.to_string())),
            (Ok(()), None) => Ok(()),
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn restore(config: &Config, held: impl FnOnce()) -> Result<Api, StartError> {
    let Storage::Folder(folder) = &config.storage else {
        held();
        let engine = engine(config, None)?;
        let keys = Arc::new(Keys::generate()?);
        let machine = Machine::new(executor(engine, &keys, config.limits), State::default());
        return assemble(keys, machine, None, config, 0);
    };
    let disk = Folder::open(folder)
        .map_err(|source| StartError::Folder {
            folder: folder.clone(),
            source,
        })?
        .ok_or_else(|| StartError::InUse(folder.clone()))?;
    held();
    let disk: Arc<dyn Disk> = Arc::new(disk);
    open(&disk, folder, config)
}

/// Restores what is on a disk; `folder` is its name in errors.
fn open(disk: &Arc<dyn Disk>, folder: &Path, config: &Config) -> Result<Api, StartError> {
    let loaded = keys::load(disk.as_ref(), config.keys.as_deref());
    let keys = Arc::new(loaded.map_err(|error| no_keys(error, folder, config.keys.as_deref()))?);
    let cache = Cache::new(disk.clone(), keys.secret_for("compiled modules"));
    let engine = engine(config, Some(cache))?;
    let Recovered {
        machine,
        journal,
        checkpoints,
        replayed,
    } = recover(disk, executor(engine.clone(), &keys, config.limits))?;
    engine.forget_unused();
    tracing::info!(round = machine.state().round, replayed, "state restored");
    let incarnation = backup::incarnation(disk.as_ref()).map_err(|source| StartError::Folder {
        folder: folder.to_owned(),
        source,
    })?;
    assemble(
        keys,
        machine,
        Some(Durability {
            journal,
            checkpoints,
            segment_bytes: config.segment_bytes,
        }),
        config,
        incarnation,
    )
}

/// Why a node does not start without keys: those of the file, or of the folder.
fn no_keys(error: LoadError, folder: &Path, file: Option<&Path>) -> StartError {
    let folder = folder.to_owned();
    let keys = file.map_or_else(|| folder.join(KEYS), Path::to_owned);
    match error {
        LoadError::Io(source) => StartError::Folder { folder, source },
        LoadError::Make(error) => error.into(),
        LoadError::Bad(error) => StartError::BadKeys {
            path: keys,
            source: error.into(),
        },
        LoadError::File { path, source } => StartError::KeyFile { path, source },
        LoadError::Other => StartError::OtherKeys { folder, keys },
        LoadError::None => StartError::NoKeys(folder),
        LoadError::Missing => StartError::NotWhole(folder),
        LoadError::Alien(name) => StartError::Alien { folder, name },
    }
}

/// The engine that the node shares, or one of its own, which keeps what it compiles where there is a place for it.
fn engine(config: &Config, cache: Option<Cache>) -> Result<Arc<Engine>, EngineError> {
    if let Some(Modules(shared)) = &config.modules {
        return Ok(shared.clone());
    }
    let own = Engine::new()?;
    Ok(Arc::new(match cache {
        Some(cache) => own.keeping(cache),
        None => own,
    }))
}

fn executor(engine: Arc<Engine>, keys: &Keys, limits: Limits) -> Executor {
    let network = Network {
        subnet: keys.subnet_id,
        root_key: keys.root.der().into(),
    };
    Executor {
        engine,
        network,
        limits,
    }
}

/// What batches say that is not of their messages.
fn policy(config: &Config) -> Policy {
    Policy {
        memory_limit: config.memory_limit,
        canister_limit: config.effective_quotas().disk.get(),
        permissions: Permissions {
            // A list says who may, and names no canister.
            create: !matches!(config.creators, Creators::Only(_)),
            provisional: config.mode == Mode::Dev,
        },
    }
}

fn assemble(
    keys: Arc<Keys>,
    machine: Machine,
    durability: Option<Durability>,
    config: &Config,
    incarnation: u64,
) -> Result<Api, StartError> {
    let state = machine.state().clone();
    let clock = Clock::new(config.clocks.clone(), state.time);
    let views = Arc::new(Views::new(keys.clone(), state, config.clocks.read().wall)?);
    let replica = Replica::start_with(clock, machine, views, durability, policy(config))
        .map_err(StartError::Threads)?;
    Ok(Api {
        keys,
        creators: config.creators.clone(),
        mode: config.mode,
        traffic: Traffic::new(config.effective_quotas(), replica.metrics.refusals.clone()),
        incarnation,
        replica,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use ic_principal::Principal;

    #[test]
    fn canisters_create_where_no_list_says_who_does_and_from_nothing_in_development_only() {
        let listed = Creators::Only([Principal::from_slice(&[1])].into());
        for (creators, mode, create, provisional) in [
            (Creators::Anyone, Mode::Dev, true, true),
            (Creators::Signed, Mode::Production, true, false),
            (listed.clone(), Mode::Dev, false, true),
            (listed, Mode::Production, false, false),
        ] {
            let config = Config::ephemeral().creators(creators).mode(mode);
            let expected = Permissions { create, provisional };
            assert_eq!(policy(&config).permissions, expected, "{config:?}");
        }
    }
}
