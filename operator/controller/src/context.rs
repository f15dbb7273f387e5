//! What every part of the operator shares.

use std::sync::{Arc, OnceLock};

use dcanary_core::{Settings, observed::JournalSeen};
use dcanary_crds::{ClusterExecutor, Executor, Pipeline, PipelineRun};
use dcanary_ledger::Recorder;
use jiff::Timestamp;
use kube::{
    Client,
    runtime::{
        events::Recorder as Events,
        reflector::{ObjectRef, Store},
    },
};
use tokio::sync::{Notify, mpsc, watch};

use crate::{
    backoff::Failures,
    cache::Unreadable,
    config::Config,
    environment::Environments,
    memory::Memory,
    metrics::Metrics,
    reports::{Acknowledgements, ServerClient, Wanted},
};

/// Caches.
#[derive(Clone)]
pub struct Stores {
    /// Pipelines.
    pub pipelines: Store<Pipeline>,
    /// Executors.
    pub executors: Store<Executor>,
    /// Executors of the cluster.
    pub cluster_executors: Store<ClusterExecutor>,
}

/// Who is told when a run or an Environment is gone, however it went.
#[derive(Clone, Default)]
pub struct Gone {
    /// Something may be left of a run.
    pub orphaned: Arc<Notify>,
    /// Sealed records may be left.
    pub left_behind: Arc<Notify>,
}

impl Gone {
    /// A run may be gone.
    pub fn run(&self) {
        self.orphaned.notify_one();
        self.left_behind.notify_one();
    }

    /// An Environment may be gone.
    pub fn environment(&self) {
        self.left_behind.notify_one();
    }
}

/// Shared by all reconcilers.
pub struct Context {
    /// Client of the API server.
    pub client: Client,
    /// Flags.
    pub config: Config,
    /// Settings for decisions.
    pub settings: Arc<Settings>,
    /// Caches.
    pub stores: Stores,
    /// Runs.
    pub memory: Memory,
    /// Publishes Events.
    pub events: Events,
    /// Reconciles a run soon.
    pub wake: mpsc::UnboundedSender<ObjectRef<PipelineRun>>,
    /// The server.
    pub server: ServerClient,
    /// Which reports may be acknowledged.
    pub acknowledgements: Acknowledgements,
    /// Since when the server does not answer; from the start on until its list was read to the end once.
    pub server_away: watch::Sender<Option<Timestamp>>,
    /// Every report that the server had at this time is in memory.
    pub reports_as_of: watch::Sender<Option<Timestamp>>,
    /// Since when the server's store is full, as it says.
    pub store_full: watch::Sender<Option<Timestamp>>,
    /// Runs that need to know that no report is under way.
    pub wanted: Wanted,
    /// Something may be left of a run that is gone.
    pub orphaned: Arc<Notify>,
    /// Runs that cannot be read: they exist, whatever the cache says.
    pub unreadable_runs: Unreadable,
    /// Pipelines that could not be reconciled.
    pub pipeline_failures: Failures,
    /// Writes to the ledger, once it is set up.
    pub recorder: OnceLock<Recorder>,
    /// Why the ledger is not set up yet.
    pub ledger_waiting: watch::Sender<Option<dcanary_core::observed::Waiting>>,
    /// Sealed records may wait that nobody else hands over: a run or an Environment is gone, or has nothing else left.
    pub left_behind: Arc<Notify>,
    /// What the reconcilers of Environments share.
    pub environments: Environments,
    /// Figures.
    pub metrics: Metrics,
}

impl Context {
    /// Reconciles the runs that have not begun: what they wait for may be there now.
    pub fn wake_waiting(&self) {
        for object in self.memory.waiting() {
            // the receiver lives as long as the controller
            let _ = self.wake.send(object);
        }
    }

    /// Reconciles a run soon, if it is known.
    pub fn wake(&self, run_uid: &str) {
        if let Some(object) = self.memory.object(run_uid) {
            // the receiver lives as long as the controller
            let _ = self.wake.send(object);
        }
    }

    /// Reads or changes what the recorder told about a run or an Environment. Never held across an await.
    pub fn journal_of<T>(&self, uid: &str, look: impl FnOnce(&mut JournalSeen) -> T) -> T {
        if self.environments.memory.knows(uid) {
            self.environments
                .memory
                .with(uid, |memory| look(&mut memory.journal))
        } else {
            self.memory.with(uid, |memory| look(&mut memory.journal))
        }
    }

    /// Reconciles a run or an Environment soon, if it is known.
    pub fn wake_subject(&self, uid: &str) {
        if !self.environments.wake_uid(uid) {
            self.wake(uid);
        }
    }
}
