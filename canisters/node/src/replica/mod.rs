//! The running replica: threads around the deterministic core. Clock, disk and waiting clients live here.
//!
//! ```text
//! HTTP ─▶ inbox ─▶ orderer: batch, time, log ─▶ executor: apply, sign; when it is synced: publish, wake clients
//!           ▲               └▶ sync ─────────────┘▲   │ └─▶ checkpointer (after a full log segment, and at the end)
//!           └── what is left to do, timers ───────────┘
//! queries, inspections, modules to compile ─▶ a pool for each ─▶ a snapshot of the published state
//! ```
//!
//! A batch is executed and signed while it is synced, and the orderer writes the next one while the executor still works on it.

mod checkpointer;
pub mod clock;
mod executor;
mod inbox;
pub mod metrics;
mod orderer;
pub mod pool;
#[cfg(test)]
mod tests;
pub mod traffic;

use crate::cert::view::{View, Views};
use crate::exec::batch::{Batch, Ingress, Permissions};
use crate::exec::call::Executor;
use crate::exec::machine::Machine;
use crate::log::checkpoint::Checkpoints;
use crate::log::journal::{Journal, Synced};
use crate::wasm::ahead;
use crate::wasm::engine::{Compiled, THREAD_STACK};
use crate::wire::hash::Hash;
use clock::{Clock, ClockError};
use inbox::Inbox;
use metrics::Metrics;
use pool::Pool;
use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use traffic::Place;

/// Bytes that calls waiting to be ordered may have together; more are refused. A call has 2 MiB at most, so their number alone bounds nothing.
const INBOX_BYTES: usize = 64 << 20;

/// Why a call was not executed although it was admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refused {
    /// The disk is full. Nothing was accepted.
    #[error("the node's storage is full; nothing was executed")]
    Full,
    /// It expired while it waited.
    #[error("Invalid request expiry: the request expired before it was ordered")]
    Expired,
    /// The clock is not believed. Nothing was accepted.
    #[error(transparent)]
    Clock(#[from] ClockError),
    /// Too many calls wait.
    #[error("too many calls are waiting; try again")]
    Busy,
    /// The node is stopping or broken.
    #[error("the node is stopping")]
    Stopping,
}

/// What a call has until it is answered. It is kept when the client goes away, because the call goes on.
#[derive(Debug)]
pub struct Held {
    _place: Place,
    _module: Option<ahead::Held<Compiled>>,
}

impl Held {
    /// Its place among those of its canister, and the module that it installs, compiled ahead.
    pub fn new(place: Place, module: Option<ahead::Held<Compiled>>) -> Self {
        Self {
            _place: place,
            _module: module,
        }
    }
}

/// Who waits for the outcome of a call.
#[derive(Debug)]
struct Waiting {
    done: oneshot::Sender<Result<Arc<View>, Refused>>,
    held: Option<Held>,
}

impl Waiting {
    /// Tells the outcome. A client that went away needs no answer. What the call held is free before it is told.
    fn send(self, outcome: Result<Arc<View>, Refused>) {
        let Self { done, held } = self;
        drop(held);
        let _ = done.send(outcome);
    }

    /// Whether the client went away.
    fn is_gone(&self) -> bool {
        self.done.is_closed()
    }
}

/// A call on its way, and who waits for it.
#[derive(Debug)]
struct Pending {
    message: Ingress,
    /// Its bytes of the inbox, until it is in a batch.
    room: OwnedSemaphorePermit,
    waiting: Waiting,
}

impl Pending {
    /// Its bytes of the inbox.
    fn size(&self) -> usize {
        size(&self.message)
    }
}

fn size(message: &Ingress) -> usize {
    message.arg.len() + message.method.len()
}

/// A batch that is written and may be executed.
#[derive(Debug)]
struct Ordered {
    batch: Batch,
    /// Who waits, by the place of the message.
    waiting: Vec<Waiting>,
    /// Gets one when the batch may be shown, and none when it never may.
    logged: Receiver<Logged>,
}

/// A batch that may be shown.
#[derive(Debug)]
struct Logged {
    synced: Synced,
    /// Whether the log segment ended with it.
    checkpoint: bool,
}

/// The first reason why the node cannot go on.
#[derive(Debug, Clone)]
pub struct Failure(watch::Sender<Option<Arc<str>>>);

impl Failure {
    pub(crate) fn set(&self, reason: &str) {
        tracing::error!(reason, "the node cannot go on");
        self.0.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(reason.into());
            }
            first
        });
    }

    /// The reason, when there is one.
    pub fn get(&self) -> Option<Arc<str>> {
        self.0.borrow().clone()
    }

    /// Waits for a failure.
    pub async fn wait(&self) -> Arc<str> {
        let mut receiver = self.0.subscribe();
        loop {
            if let Some(reason) = receiver.borrow_and_update().clone() {
                return reason;
            }
            if receiver.changed().await.is_err() {
                return "the node is gone".into();
            }
        }
    }
}

/// Reports a panic of the thread that holds it. Without it a dead thread would show only when somebody needs it next.
struct Watch {
    name: &'static str,
    failure: Failure,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if thread::panicking() {
            self.failure.set(&format!("the {} ended by a panic", self.name));
        }
    }
}

/// Starts a thread that the node cannot go on without.
fn start<T: Send + 'static>(
    name: &'static str,
    failure: &Failure,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let watch = Watch {
        name,
        failure: failure.clone(),
    };
    thread::Builder::new()
        .name(name.into())
        .stack_size(THREAD_STACK)
        .spawn(move || {
            let _watch = watch;
            body()
        })
}

/// Where batches become durable; `None` in an ephemeral node.
#[derive(Debug)]
pub struct Durability {
    /// The log.
    pub journal: Journal,
    /// The checkpoints.
    pub checkpoints: Checkpoints,
    /// After how many bytes a log segment ends and a checkpoint is written.
    pub segment_bytes: u64,
}

/// Threads of each kind, so that queries delay no update, and neither of them an install.
#[derive(Debug)]
pub struct Pools {
    /// For queries.
    pub queries: Pool,
    /// For messages that their canisters inspect.
    pub inspections: Pool,
    /// For modules that are compiled before they are installed.
    pub modules: Pool,
}

impl Pools {
    fn start() -> io::Result<Self> {
        Ok(Self {
            queries: Pool::start("query")?,
            inspections: Pool::start("inspect")?,
            modules: Pool::start_patient("compile")?,
        })
    }
}

/// See the module documentation.
#[derive(Debug)]
pub struct Replica {
    /// What readers see.
    pub views: Arc<Views>,
    /// Runs queries.
    pub executor: Executor,
    /// Threads for what is done outside of batches.
    pub pools: Pools,
    /// The clock.
    pub clock: Arc<Clock>,
    /// Whether something broke.
    pub failure: Failure,
    /// Figures.
    pub metrics: Metrics,
    /// What batches say.
    pub policy: Policy,
    inbox: Inbox,
    /// Bytes that may still come into the inbox.
    room: Arc<Semaphore>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the node's configuration says about batches.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Bytes that all canisters together may take.
    pub memory_limit: u64,
    /// Bytes that one canister may hold.
    pub canister_limit: u64,
    /// What canisters may do.
    pub permissions: Permissions,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            memory_limit: u64::MAX,
            canister_limit: u64::MAX,
            permissions: Permissions::ALL,
        }
    }
}

impl Replica {
    /// Starts the threads, with the machine's clock.
    #[cfg(test)]
    pub fn start(
        machine: Machine,
        views: Arc<Views>,
        durability: Option<Durability>,
        policy: Policy,
    ) -> io::Result<Self> {
        let clock = Clock::new(clock::Clocks::System, machine.state().time);
        Self::start_with(clock, machine, views, durability, policy)
    }

    /// Starts the threads.
    pub fn start_with(
        clock: Clock,
        machine: Machine,
        views: Arc<Views>,
        durability: Option<Durability>,
        policy: Policy,
    ) -> io::Result<Self> {
        let executor = machine.executor.clone();
        let pools = Pools::start()?;
        let clock = Arc::new(clock);
        let failure = Failure(watch::channel(None).0);
        let metrics = Metrics::default();
        let inbox = Inbox::new(machine.agenda());
        let (ordered, batches) = std::sync::mpsc::sync_channel(1);
        let checked: Arc<Mutex<Option<(u64, Hash)>>> = Arc::default();
        let (journal, checkpoints) = match durability {
            Some(durability) => (
                Some((durability.journal, durability.segment_bytes)),
                Some(durability.checkpoints),
            ),
            None => (None, None),
        };
        let orderer = orderer::Orderer {
            orders: inbox.orders(),
            clock: clock.clone(),
            views: views.clone(),
            journal,
            next: ordered,
            checked: checked.clone(),
            round: machine.state().round,
            time: machine.state().time,
            policy,
            semantics: executor.limits.fingerprint(),
            failure: failure.clone(),
            metrics: metrics.clone(),
        };
        let worker = executor::Worker {
            machine,
            batches,
            views: views.clone(),
            inbox: inbox.clone(),
            waiting: BTreeMap::new(),
            checked,
            checkpoints,
            failure: failure.clone(),
            metrics: metrics.clone(),
        };
        let orderer = start("orderer", &failure, move || orderer.run())?;
        let worker = start("executor", &failure, move || worker.run())?;
        Ok(Self {
            views,
            executor,
            pools,
            clock,
            failure,
            metrics,
            policy,
            inbox,
            room: Arc::new(Semaphore::new(INBOX_BYTES)),
            threads: Mutex::new(vec![orderer, worker]),
        })
    }

    /// Hands a call in. The receiver gets the view that shows its outcome, which may be batches later; until then it has what it holds.
    pub fn submit(
        &self,
        message: Ingress,
        held: Option<Held>,
    ) -> Result<oneshot::Receiver<Result<Arc<View>, Refused>>, Refused> {
        let (done, receiver) = oneshot::channel();
        let bytes = u32::try_from(size(&message)).map_err(|_| Refused::Busy)?;
        let room = self
            .room
            .clone()
            .try_acquire_many_owned(bytes)
            .map_err(|_| Refused::Busy)?;
        let waiting = Waiting { done, held };
        self.inbox.submit(Pending {
            message,
            room,
            waiting,
        })?;
        Ok(receiver)
    }

    /// Bytes of calls that wait to be ordered.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        INBOX_BYTES - self.room.available_permits()
    }

    /// Orders what was handed in and executes of it what a batch may, writes a checkpoint, ends the threads. What is left of it, and
    /// calls between canisters that are under way, go on after the next start. Blocks.
    pub fn stop(&self) {
        self.inbox.close();
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A panic has been reported by the thread itself.
            let _ = thread.join();
        }
    }
}
