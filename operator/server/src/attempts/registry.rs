//! Finds attempts: in memory while somebody uses them, on disk otherwise.

use std::collections::HashMap;
use std::hash::Hash;
use std::io;
use std::sync::{Arc, Mutex};

use tokio::sync::{OnceCell, Semaphore, watch};

use super::log::LogTail;
use super::record::{Pointer, Record, dir, pointer_path, run_dir};
use super::run::{Run, RunKey};
use crate::names::{AttemptId, Namespace, RunUid};
use crate::store::Store;
use crate::store::op::Op;

/// Entries above which unused ones are forgotten.
const HELD: usize = 2_048;
/// Requests of one attempt whose JSON is held at once: a runner needs one for frames and one for an upload or its report, and as many
/// more after lost connections.
const AT_ONCE: usize = 4;

/// What changes about an attempt.
#[derive(Debug, Clone)]
pub struct State {
    /// What is known.
    pub record: Record,
    /// Where its log ends.
    pub log: LogTail,
}

impl State {
    /// Highest synced frame.
    pub fn acked(&self) -> u64 {
        self.record.acked.max(self.log.last)
    }
}

/// How far a reader may read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Highest synced frame.
    pub acked: u64,
    /// Nothing more comes.
    pub over: bool,
}

/// An attempt in memory.
#[derive(Debug)]
pub struct Attempt {
    /// Its name.
    pub id: AttemptId,
    /// Its directory.
    pub dir: String,
    /// Its run.
    pub run: Option<Arc<Run>>,
    /// What changes; held while a change is committed.
    pub state: tokio::sync::Mutex<State>,
    /// Slots for requests with a body of JSON: each may have some MiB.
    pub slots: Semaphore,
    progress: watch::Sender<Progress>,
}

impl Attempt {
    /// How far a reader may read.
    pub fn progress(&self) -> Progress {
        *self.progress.borrow()
    }

    /// Waits until nothing more is taken from it.
    pub async fn over(&self) {
        let mut progress = self.progress.subscribe();
        // The sender is ours, so the wait cannot fail.
        drop(progress.wait_for(|progress| progress.over).await);
    }

    /// Shows a committed state to readers.
    pub fn show(&self, state: &State) {
        let progress = Progress {
            acked: state.acked(),
            over: state.record.is_over(),
        };
        self.progress.send_replace(progress);
        if let Some(run) = &self.run {
            run.changed();
        }
    }

    /// The change that stores a record.
    pub fn store(&self, record: &Record) -> Op {
        Op::Replace {
            path: format!("{}/attempt.json", self.dir),
            bytes: serde_json::to_vec_pretty(record).unwrap_or_default(),
        }
    }
}

/// Where an attempt was found.
pub enum Found {
    /// It has traded its token.
    Attempt(Arc<Attempt>),
    /// It was closed before it traded its token.
    Revoked,
    /// Nobody knows it.
    Unknown,
}

enum LoadError {
    /// Its record is not there.
    Gone,
    Failed(io::Error),
}

impl From<io::Error> for LoadError {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

type Cells<K, V> = Mutex<HashMap<K, Arc<OnceCell<Arc<V>>>>>;

/// All attempts.
pub struct Attempts {
    store: Arc<Store>,
    attempts: Cells<AttemptId, Attempt>,
    runs: Cells<RunKey, Run>,
}

fn cell<K: Eq + Hash + Clone, V>(cells: &Cells<K, V>, key: &K) -> io::Result<Arc<OnceCell<Arc<V>>>> {
    let mut cells = cells
        .lock()
        .map_err(|_| io::Error::other("a thread ended unexpectedly"))?;
    if cells.len() > HELD && !cells.contains_key(key) {
        cells.retain(|_, cell| {
            Arc::strong_count(cell) > 1 || cell.get().is_some_and(|value| Arc::strong_count(value) > 1)
        });
    }
    Ok(Arc::clone(cells.entry(key.clone()).or_default()))
}

impl Attempts {
    /// Attempts of a store.
    pub fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            attempts: Mutex::default(),
            runs: Mutex::default(),
        }
    }

    /// Finds an attempt.
    ///
    /// # Errors
    /// When the volume fails.
    pub async fn find(&self, id: &AttemptId) -> io::Result<Found> {
        let cell = cell(&self.attempts, id)?;
        if let Some(attempt) = cell.get() {
            return Ok(Found::Attempt(Arc::clone(attempt)));
        }
        let Some(pointer) = self.store.read(pointer_path(id)).await? else {
            return Ok(Found::Unknown);
        };
        match serde_json::from_slice(&pointer)? {
            Pointer::Revoked => Ok(Found::Revoked),
            Pointer::At { namespace, run } => {
                let load = || self.load(dir(&namespace, run.as_ref(), id));
                match cell.get_or_try_init(load).await {
                    Ok(attempt) => Ok(Found::Attempt(Arc::clone(attempt))),
                    // Removed with its run: there is no second first trade.
                    Err(LoadError::Gone) => Ok(Found::Revoked),
                    Err(LoadError::Failed(error)) => Err(error),
                }
            }
        }
    }

    async fn load(&self, dir: String) -> Result<Arc<Attempt>, LoadError> {
        let path = format!("{dir}/attempt.json");
        let record = self.store.read(path).await?.ok_or(LoadError::Gone)?;
        let log = self.store.blocking(move |disk| LogTail::load(disk, &dir)).await?;
        let record = read_record(record)?;
        Ok(self.hold(State { record, log }).await?)
    }

    /// Those of some attempts that are in memory.
    pub fn held(&self, some: &[AttemptId]) -> Vec<Arc<Attempt>> {
        let attempts = self
            .attempts
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        some.iter()
            .filter_map(|id| attempts.get(id)?.get().cloned())
            .collect()
    }

    async fn hold(&self, state: State) -> io::Result<Arc<Attempt>> {
        let record = &state.record;
        let run = match &record.run {
            Some(place) => {
                let key = RunKey {
                    namespace: record.namespace.clone(),
                    uid: place.uid.clone(),
                };
                Some(self.run(&key).await?)
            }
            None => None,
        };
        let progress = Progress {
            acked: state.acked(),
            over: record.is_over(),
        };
        Ok(Arc::new(Attempt {
            id: record.attempt.clone(),
            dir: record.dir(),
            run,
            state: tokio::sync::Mutex::new(state),
            slots: Semaphore::new(AT_ONCE),
            progress: watch::Sender::new(progress),
        }))
    }

    /// Takes up an attempt whose record was committed just now.
    ///
    /// # Errors
    /// When the volume fails.
    pub async fn opened(&self, record: Record) -> io::Result<Arc<Attempt>> {
        let cell = cell(&self.attempts, &record.attempt)?;
        let state = State {
            record,
            log: LogTail::default(),
        };
        let attempt = Arc::clone(cell.get_or_try_init(|| self.hold(state)).await?);
        if let Some(run) = &attempt.run {
            run.note_opened();
        }
        Ok(attempt)
    }

    /// A run, whether it has attempts or not.
    ///
    /// # Errors
    /// When the volume fails.
    pub async fn run(&self, key: &RunKey) -> io::Result<Arc<Run>> {
        let cell = cell(&self.runs, key)?;
        let run = cell
            .get_or_try_init(|| async {
                let results = self
                    .records(&key.namespace, &key.uid)
                    .await?
                    .into_iter()
                    .filter_map(|record| {
                        let bytes = record.result_bytes();
                        record.run.map(|run| (record.attempt, (run.stage, bytes)))
                    })
                    .collect();
                io::Result::Ok(Arc::new(Run::new(results)))
            })
            .await?;
        Ok(Arc::clone(run))
    }

    /// Records of all attempts of a run, as they are on disk, by stage and number.
    ///
    /// # Errors
    /// When the volume fails.
    pub async fn records(&self, namespace: &Namespace, run: &RunUid) -> io::Result<Vec<Record>> {
        let dir = run_dir(namespace, Some(run));
        let mut records = self
            .store
            .blocking(move |disk| {
                let mut records = Vec::new();
                for attempt in disk.list(&dir)? {
                    match disk.read(&format!("{dir}/{attempt}/attempt.json")) {
                        Ok(bytes) => records.push(read_record(bytes)?),
                        Err(error) if is_absent(&error) => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(records)
            })
            .await?;
        records.sort_by_key(|record| (record.opened, record.run.as_ref().map_or(0, |run| run.number)));
        Ok(records)
    }

    /// Forgets the attempts of a run that is removed.
    pub fn forget(&self, gone: &[AttemptId], run: Option<&RunKey>) {
        if let Ok(mut attempts) = self.attempts.lock() {
            attempts.retain(|id, _| !gone.contains(id));
        }
        if let (Ok(mut runs), Some(run)) = (self.runs.lock(), run) {
            runs.remove(run);
        }
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn read_record(bytes: Vec<u8>) -> io::Result<Record> {
    serde_json::from_slice(&bytes).map_err(io::Error::from)
}
