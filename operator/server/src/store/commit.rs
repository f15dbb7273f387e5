//! Group commit: changes of many attempts become durable with one sync.
//!
//! ```text
//! commit(ops) ─▶ queue ─▶ append to wal/N ─▶ sync ─▶ apply to the files ─▶ answer
//!                                             (one sync for everything that was waiting)
//! wal/N full or old ─▶ checkpoint: sync the files it changed ─▶ remove wal/N
//! start: apply what wal/* holds again, sync, remove
//! ```

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::disk::{Disk, is_full};
use super::op::{Op, encode_record};
use super::replay::{finish_log, log_path};
use super::space::Space;
use crate::metrics::StoreMetrics;

/// Bytes of one batch; larger ones are split.
const BATCH_BYTES: usize = 8 << 20;
/// Space that is never used: below it only removals are committed.
const FLOOR: u64 = 1 << 20;

/// Why changes were not committed. Nothing of them is visible then.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// No space on the volume.
    #[error("the volume is full")]
    Full,
    /// The volume does not work.
    #[error("cannot write the commit log")]
    Write(#[source] io::Error),
    /// The server is stopping.
    #[error("the store is closed")]
    Closed,
}

/// How the committer works.
#[derive(Debug, Clone, Copy)]
pub struct CommitSettings {
    /// A commit log of this length is checkpointed.
    pub log_bytes: u64,
    /// A commit log of this age is checkpointed.
    pub checkpoint: Duration,
    /// Pause before a change that found no space is tried again.
    pub retry: Duration,
}

impl Default for CommitSettings {
    fn default() -> Self {
        Self {
            log_bytes: 32 << 20,
            checkpoint: Duration::from_secs(30),
            retry: Duration::from_millis(200),
        }
    }
}

type After = Box<dyn FnOnce() + Send>;

struct Change {
    ops: Vec<Op>,
    after: Option<After>,
    done: oneshot::Sender<Result<(), CommitError>>,
}

/// Handle to the committing thread.
#[derive(Debug)]
pub struct Committer {
    queue: std::sync::Mutex<Option<Sender<Change>>>,
    thread: std::sync::Mutex<Option<JoinHandle<()>>>,
    broken: Arc<AtomicBool>,
}

/// A commit under way.
#[derive(Debug)]
pub struct Pending(oneshot::Receiver<Result<(), CommitError>>);

impl Pending {
    /// Waits until the changes are durable and applied.
    ///
    /// # Errors
    /// When they were not committed.
    pub async fn durable(self) -> Result<(), CommitError> {
        self.0.await.unwrap_or(Err(CommitError::Closed))
    }
}

impl Committer {
    /// Starts the committing thread; `next` is the number of its first log.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        disk: Arc<dyn Disk>,
        space: Arc<Space>,
        settings: CommitSettings,
        next: u64,
        metrics: StoreMetrics,
    ) -> io::Result<Self> {
        let (queue, changes) = channel();
        let broken = Arc::new(AtomicBool::new(false));
        let (full_logs, checkpoints) = sync_channel(2);
        let checkpointer = {
            let disk = Arc::clone(&disk);
            let broken = Arc::clone(&broken);
            std::thread::Builder::new()
                .name("checkpoint".into())
                .spawn(move || checkpoint_all(disk.as_ref(), &checkpoints, &broken))?
        };
        let log = Log::new(next);
        let writer = Writer {
            disk,
            space,
            settings,
            log,
            full_logs,
            broken: Arc::clone(&broken),
            metrics,
        };
        let thread = std::thread::Builder::new().name("commit".into()).spawn(move || {
            let ended = Arc::clone(&writer.broken);
            let run = std::panic::AssertUnwindSafe(|| writer.run(&changes));
            if std::panic::catch_unwind(run).is_err() {
                ended.store(true, Ordering::Release);
            }
            if checkpointer.join().is_err() {
                tracing::error!("the checkpoint thread ended unexpectedly");
            }
        })?;
        Ok(Self {
            queue: std::sync::Mutex::new(Some(queue)),
            thread: std::sync::Mutex::new(Some(thread)),
            broken,
        })
    }

    /// Hands changes over, in the order of the calls; they go on even when nobody waits for them.
    /// `after` runs once they are durable, in the same order.
    pub fn enqueue(&self, ops: Vec<Op>, after: Option<After>) -> Pending {
        let (done, answer) = oneshot::channel();
        if let Ok(queue) = self.queue.lock()
            && let Some(queue) = queue.as_ref()
        {
            // A closed queue drops `done`, which the waiter sees as `Closed`.
            drop(queue.send(Change { ops, after, done }));
        }
        Pending(answer)
    }

    /// Commits changes together.
    ///
    /// # Errors
    /// When they were not committed.
    pub async fn commit(&self, ops: Vec<Op>) -> Result<(), CommitError> {
        self.enqueue(ops, None).durable().await
    }

    /// The volume failed in a way that only a restart can recover.
    pub fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Takes nothing more, commits what waits, checkpoints and ends. Blocking.
    pub fn close(&self) {
        if let Ok(mut queue) = self.queue.lock() {
            queue.take();
        }
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the commit thread ended unexpectedly");
        }
    }
}

struct Log {
    number: u64,
    len: u64,
    since: Instant,
    dirty: BTreeSet<String>,
}

impl Log {
    fn new(number: u64) -> Self {
        Self {
            number,
            len: 0,
            since: Instant::now(),
            dirty: BTreeSet::new(),
        }
    }
}

struct Writer {
    disk: Arc<dyn Disk>,
    space: Arc<Space>,
    settings: CommitSettings,
    log: Log,
    full_logs: SyncSender<Log>,
    broken: Arc<AtomicBool>,
    metrics: StoreMetrics,
}

impl Writer {
    fn run(mut self, changes: &Receiver<Change>) {
        loop {
            match changes.recv_timeout(self.settings.checkpoint) {
                Ok(first) => {
                    let mut size = weight(&first);
                    let mut batch = vec![first];
                    while size < BATCH_BYTES
                        && let Ok(more) = changes.try_recv()
                    {
                        size += weight(&more);
                        batch.push(more);
                    }
                    self.commit(batch);
                    if self.log.len >= self.settings.log_bytes
                        || self.log.since.elapsed() >= self.settings.checkpoint
                    {
                        self.rotate();
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.rotate(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.rotate();
    }

    /// Commits a batch; without space for all, as many of its changes as fit.
    fn commit(&mut self, batch: Vec<Change>) {
        let started = Instant::now();
        let result = self.write(&batch);
        match result {
            Ok(()) => {
                self.metrics.commit(batch.len(), started.elapsed());
                if !only_removes(&batch) {
                    self.space.accepted();
                }
                for change in batch {
                    self.apply(change);
                }
            }
            Err(CommitError::Full) if batch.len() > 1 => {
                for change in batch {
                    self.commit(vec![change]);
                }
            }
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "changes not committed");
                if matches!(error, CommitError::Full) {
                    self.space.refused();
                }
                let mut error = Some(error);
                for change in batch {
                    let error = error.take().unwrap_or(CommitError::Closed);
                    drop(change.done.send(Err(error)));
                }
            }
        }
    }

    fn write(&mut self, batch: &[Change]) -> Result<(), CommitError> {
        if self.broken.load(Ordering::Acquire) {
            return Err(CommitError::Closed);
        }
        let mut records = Vec::new();
        for change in batch {
            encode_record(&change.ops, &mut records);
        }
        // Removals need no space but in the log, and are what makes space: only the disk itself may refuse them.
        if !only_removes(batch) {
            let need = records.len() as u64 * 2 + FLOOR;
            if self.disk.room().is_ok_and(|room| room.available < need) {
                return Err(CommitError::Full);
            }
        }
        let path = log_path(self.log.number);
        let new = self.log.len == 0;
        let written = self
            .disk
            .write_at(&path, self.log.len, &records)
            .and_then(|()| self.disk.sync_file(&path))
            .and_then(|()| {
                if new {
                    super::disk::sync_names(self.disk.as_ref(), &path)
                } else {
                    Ok(())
                }
            });
        match written {
            Ok(()) => {
                self.log.len += records.len() as u64;
                Ok(())
            }
            Err(error) => {
                self.withdraw(&path);
                Err(if is_full(&error) {
                    CommitError::Full
                } else {
                    CommitError::Write(error)
                })
            }
        }
    }

    /// Cuts off a batch that was not committed. When that fails, nobody knows what a restart would find, so nothing
    /// more is taken until there was one.
    fn withdraw(&mut self, path: &str) {
        let cut = match self.disk.stat(path) {
            Ok(None) => Ok(()),
            Ok(Some(_)) => self
                .disk
                .set_len(path, self.log.len)
                .and_then(|()| self.disk.sync_file(path)),
            Err(error) => Err(error),
        };
        if let Err(error) = cut {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "commit log cannot be cut, restart needed"
            );
            self.broken.store(true, Ordering::Release);
        }
    }

    /// Applies committed changes. They are durable already, so a failing effect is repeated until it works; nothing
    /// else is committed meanwhile.
    fn apply(&mut self, change: Change) {
        for op in &change.ops {
            self.log.dirty.insert(op.path().to_owned());
            while let Err(error) = op.apply(self.disk.as_ref()) {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    path = op.path(),
                    "committed change waits"
                );
                if self.broken.load(Ordering::Acquire) || !is_full(&error) {
                    self.broken.store(true, Ordering::Release);
                    drop(change.done.send(Err(CommitError::Write(error))));
                    return;
                }
                self.space.refused();
                std::thread::sleep(self.settings.retry);
            }
        }
        if let Some(after) = change.after {
            after();
        }
        drop(change.done.send(Ok(())));
    }

    fn rotate(&mut self) {
        if self.log.len == 0 {
            self.log.since = Instant::now();
        }
        if self.log.len == 0 || self.broken.load(Ordering::Acquire) {
            return;
        }
        let next = Log::new(self.log.number + 1);
        let full = std::mem::replace(&mut self.log, next);
        drop(self.full_logs.send(full));
    }
}

/// After a failed sync nobody knows what of the file is on disk, and the next sync would not tell. The log is kept, and
/// the next start writes its changes anew.
fn checkpoint_all(disk: &dyn Disk, logs: &Receiver<Log>, broken: &AtomicBool) {
    while let Ok(log) = logs.recv() {
        if let Err(error) = finish_log(disk, log.number, &log.dirty) {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "checkpoint failed, restart needed"
            );
            broken.store(true, Ordering::Release);
            return;
        }
    }
}

fn only_removes(batch: &[Change]) -> bool {
    batch.iter().flat_map(|change| &change.ops).all(Op::is_removal)
}

fn weight(change: &Change) -> usize {
    change.ops.iter().map(Op::weight).sum()
}
