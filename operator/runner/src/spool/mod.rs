//! Frames that the server has not acknowledged yet, numbered without gaps.
//!
//! ```text
//! push ─▶ [segment][segment][segment] ─▶ batch ─▶ server ─▶ acknowledge
//!          deleted files in the workspace; memory when the disk takes nothing
//! ```
//!
//! The files have no name, so steps cannot reach them. `push` waits only when the limit is reached.

mod state;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dcanary_protocol::frame::Frame;
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::Instant;

pub(crate) use state::Rejection;
use state::State;

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
    #[error("nothing can be sent any more")]
    Closed,
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

    /// Adds a frame and answers its number; waits while the spool is full.
    pub(crate) async fn push(&self, frame: &Frame) -> Result<u64, SpoolError> {
        let json = serde_json::to_vec(frame)?;
        loop {
            let drained = self.drained.notified();
            if let Some(number) = self.append(&json)? {
                self.filled.notify_one();
                return Ok(number);
            }
            drained.await;
        }
    }

    /// Adds a frame if there is room for it now.
    pub(crate) fn offer(&self, frame: &Frame) {
        let added = serde_json::to_vec(frame).is_ok_and(|json| matches!(self.append(&json), Ok(Some(_))));
        if added {
            self.filled.notify_one();
        }
    }

    fn append(&self, json: &[u8]) -> Result<Option<u64>, SpoolError> {
        let mut state = self.state();
        if state.closed || state.finished {
            return Err(SpoolError::Closed);
        }
        let length = json.len() as u64;
        // One frame always fits, however small the limit is.
        if state.bytes > 0 && state.bytes + length > self.limit {
            return Ok(None);
        }
        if !state.write(json, &self.directory) {
            return Ok(None);
        }
        state.bytes += length;
        state.pushed += 1;
        state.oldest.get_or_insert_with(Instant::now);
        Ok(Some(state.pushed))
    }

    /// The frames after the acknowledged ones, at most `limit` bytes and `count` frames but at least one.
    pub(crate) fn batch(&self, limit: usize, count: usize) -> Result<Option<Batch>, SpoolError> {
        let state = self.state();
        let frames = state.read(limit, count).map_err(SpoolError::Read)?;
        Ok((!frames.is_empty()).then(|| Batch {
            first: state.acked + 1,
            frames,
        }))
    }

    /// Puts `substitute` in the place of the oldest frame, which the server does not take.
    pub(crate) fn reject_first(&self, substitute: &Frame, detail: &str) -> Result<(), SpoolError> {
        let json = serde_json::to_vec(substitute)?;
        let mut state = self.state();
        let number = state.acked + 1;
        state.replace_first(json);
        state.rejections.push(Rejection {
            number,
            detail: detail.to_owned(),
        });
        Ok(())
    }

    /// Frames that the server did not take, in order.
    pub(crate) fn rejections(&self) -> Vec<Rejection> {
        self.state().rejections.clone()
    }

    /// Nothing is sent any more: whoever waits for room, or comes later, gets an error.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.drained.notify_waiters();
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
