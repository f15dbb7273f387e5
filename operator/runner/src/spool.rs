//! Frames that the server has not acknowledged yet, numbered without gaps.
//!
//! ```text
//! push ─▶ [segment][segment][segment] ─▶ batch ─▶ server ─▶ acknowledge
//!          deleted files in the workspace; memory when the disk takes nothing
//! ```
//!
//! The files have no name, so steps cannot reach them. `push` waits only when the limit is reached.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dcanary_protocol::frame::Frame;
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Size at which a new segment is begun.
const SEGMENT_BYTES: u64 = 8 << 20;
/// What memory may hold when the disk takes nothing.
const MEMORY_BYTES: u64 = 16 << 20;

/// Why a frame cannot be kept.
#[derive(Debug, Error)]
pub(crate) enum SpoolError {
    #[error("a frame cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the spool cannot be read: {0}")]
    Read(#[source] std::io::Error),
    #[error("the server acknowledged frame {acked}, but {known} were sent at most")]
    AckedTooMuch { acked: u64, known: u64 },
    #[error("the server lost frames: it has {acked}, but acknowledged {before} before")]
    AckedWentBack { acked: u64, before: u64 },
}

#[derive(Debug)]
enum Store {
    File(File),
    Memory(Vec<u8>),
}

#[derive(Debug)]
struct Segment {
    store: Store,
    /// Lengths of its frames that are not acknowledged.
    frames: VecDeque<u32>,
    /// Where the first of them begins.
    start: u64,
    end: u64,
}

#[derive(Debug, Default)]
struct State {
    segments: VecDeque<Segment>,
    acked: u64,
    pushed: u64,
    /// Bytes that are not acknowledged.
    bytes: u64,
    memory: u64,
    oldest: Option<Instant>,
    finished: bool,
}

/// Consecutive frames as JSON.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) first: u64,
    pub(crate) frames: Vec<Vec<u8>>,
}

/// What waits to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) bytes: u64,
    pub(crate) since: Option<Instant>,
    pub(crate) finished: bool,
}

/// The spool of an attempt.
#[derive(Debug)]
pub(crate) struct Spool {
    directory: PathBuf,
    limit: u64,
    state: Mutex<State>,
    /// A frame arrived.
    filled: Notify,
    /// Frames were acknowledged.
    drained: Notify,
}

impl Spool {
    pub(crate) fn new(directory: PathBuf, limit: u64) -> Self {
        Self {
            directory,
            limit,
            state: Mutex::default(),
            filled: Notify::new(),
            drained: Notify::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a frame; waits while the spool is full.
    pub(crate) async fn push(&self, frame: &Frame) -> Result<(), SpoolError> {
        let json = serde_json::to_vec(frame)?;
        loop {
            let drained = self.drained.notified();
            if self.append(&json) {
                self.filled.notify_one();
                return Ok(());
            }
            drained.await;
        }
    }

    fn append(&self, json: &[u8]) -> bool {
        let mut state = self.state();
        let length = json.len() as u64;
        // One frame always fits, however small the limit is.
        if state.bytes > 0 && state.bytes + length > self.limit {
            return false;
        }
        if !state.write(json, &self.directory) {
            return false;
        }
        state.bytes += length;
        state.pushed += 1;
        state.oldest.get_or_insert_with(Instant::now);
        true
    }

    /// The frames after the acknowledged ones, at most `limit` bytes but at least one.
    pub(crate) fn batch(&self, limit: usize) -> Result<Option<Batch>, SpoolError> {
        let state = self.state();
        let mut frames = Vec::new();
        let mut total = 0;
        'full: for segment in &state.segments {
            let mut at = segment.start;
            for &length in &segment.frames {
                // One more byte for the comma.
                total += length as usize + 1;
                if total > limit && !frames.is_empty() {
                    break 'full;
                }
                frames.push(segment.read(at, length).map_err(SpoolError::Read)?);
                at += u64::from(length);
            }
        }
        Ok((!frames.is_empty()).then(|| Batch {
            first: state.acked + 1,
            frames,
        }))
    }

    /// Forgets everything up to frame `acked`.
    pub(crate) fn acknowledge(&self, acked: u64) -> Result<(), SpoolError> {
        let mut state = self.state();
        if acked > state.pushed {
            return Err(SpoolError::AckedTooMuch {
                acked,
                known: state.pushed,
            });
        }
        if acked < state.acked {
            return Err(SpoolError::AckedWentBack {
                acked,
                before: state.acked,
            });
        }
        while state.acked < acked {
            state.forget_one();
        }
        state.oldest = (state.bytes > 0).then(Instant::now);
        drop(state);
        self.drained.notify_waiters();
        Ok(())
    }

    /// Highest acknowledged frame.
    pub(crate) fn acked(&self) -> u64 {
        self.state().acked
    }

    pub(crate) fn waiting(&self) -> Waiting {
        let state = self.state();
        Waiting {
            bytes: state.bytes,
            since: state.oldest,
            finished: state.finished,
        }
    }

    /// Waits until a frame arrives or the stream is over. A frame that arrived since the last call counts.
    pub(crate) async fn changed(&self) {
        self.filled.notified().await;
    }

    /// No frame follows. Answers how many there are.
    pub(crate) fn finish(&self) -> u64 {
        let mut state = self.state();
        state.finished = true;
        self.filled.notify_one();
        state.pushed
    }
}

impl State {
    fn write(&mut self, json: &[u8], directory: &PathBuf) -> bool {
        let Ok(length) = u32::try_from(json.len()) else {
            return false;
        };
        if self
            .segments
            .back()
            .is_none_or(|segment| segment.end >= SEGMENT_BYTES)
            || !self
                .segments
                .back_mut()
                .is_some_and(|segment| segment.append(json))
        {
            // The folder may have been removed by a step.
            let _ = std::fs::create_dir_all(directory);
            let mut segment = match tempfile::tempfile_in(directory) {
                Ok(file) => Segment::new(Store::File(file)),
                Err(_) => Segment::new(Store::Memory(Vec::new())),
            };
            if !segment.append(json) {
                segment = Segment::new(Store::Memory(Vec::new()));
                segment.append(json);
            }
            if matches!(segment.store, Store::Memory(_)) && self.memory > 0 && self.memory >= MEMORY_BYTES {
                return false;
            }
            self.segments.push_back(segment);
        }
        if let Some(segment) = self.segments.back_mut() {
            segment.frames.push_back(length);
            if matches!(segment.store, Store::Memory(_)) {
                self.memory += u64::from(length);
            }
        }
        true
    }

    fn forget_one(&mut self) {
        while self
            .segments
            .front()
            .is_some_and(|segment| segment.frames.is_empty())
        {
            self.segments.pop_front();
        }
        if let Some(segment) = self.segments.front_mut() {
            let length = segment.frames.pop_front().map_or(0, u64::from);
            segment.start += length;
            self.bytes = self.bytes.saturating_sub(length);
            if matches!(segment.store, Store::Memory(_)) {
                self.memory = self.memory.saturating_sub(length);
            }
            if segment.frames.is_empty() {
                self.segments.pop_front();
            }
        }
        self.acked += 1;
    }
}

impl Segment {
    fn new(store: Store) -> Self {
        Self {
            store,
            frames: VecDeque::new(),
            start: 0,
            end: 0,
        }
    }

    fn append(&mut self, json: &[u8]) -> bool {
        match &mut self.store {
            Store::File(file) => {
                if file.write_all_at(json, self.end).is_err() {
                    return false;
                }
            }
            Store::Memory(bytes) => bytes.extend_from_slice(json),
        }
        self.end += json.len() as u64;
        true
    }

    fn read(&self, at: u64, length: u32) -> std::io::Result<Vec<u8>> {
        let mut json = vec![0; length as usize];
        match &self.store {
            Store::File(file) => file.read_exact_at(&mut json, at)?,
            Store::Memory(bytes) => {
                let at = usize::try_from(at).map_err(std::io::Error::other)?;
                let found = bytes.get(at..at + json.len());
                json.copy_from_slice(found.ok_or(std::io::ErrorKind::UnexpectedEof)?);
            }
        }
        Ok(json)
    }
}
