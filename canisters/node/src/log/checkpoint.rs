//! Checkpoints: the whole state, or what changed of it since the checkpoint before.
//!
//! A checkpoint is one file, written under a temporary name, synced, renamed: it is there as a whole or not at all.
//! Versions of memories share unchanged pages, so the difference to the last checkpoint is found by comparing pointers.
//! A chain of differences is replaced by a whole one when it has grown as large.

use super::disk::{Disk, WholeError, write_whole};
use super::format::{self, FormatError};
use super::journal::segment_round;
use crate::state::State;
use crate::wasm::engine::Engine;
use std::io::{self, Read};
use std::sync::Arc;
use thiserror::Error;

/// Longest chain of differences.
const MAX_CHAIN: usize = 8;

/// Why a checkpoint cannot be read or written.
#[derive(Debug, Error)]
pub enum CheckpointError {
    /// A file operation failed.
    #[error("cannot access `{file}`")]
    Io {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is damaged.
    #[error("the checkpoint `{file}` cannot be used. Restore the data folder from a backup")]
    Unusable {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: Box<FormatError>,
    },
    /// Contents could not be synced: nobody knows what is on the disk.
    #[error("`{file}` cannot be synced")]
    Sync {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The checkpoints of a folder.
#[derive(Debug)]
pub struct Checkpoints {
    disk: Arc<dyn Disk>,
    /// The state of the last one, to find differences.
    last: State,
    /// Rounds and sizes from the whole one to the last.
    chain: Vec<(u64, u64)>,
}

/// The file name of the checkpoint after a round.
pub fn checkpoint_name(round: u64) -> String {
    format!("checkpoint-{round:016x}")
}

/// The round of a checkpoint by its file name.
pub fn checkpoint_round(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_prefix("checkpoint-")?, 16).ok()
}

/// Restores the newest checkpoint.
pub fn restore(
    disk: &Arc<dyn Disk>,
    engine: &Engine,
    names: &[String],
) -> Result<(State, Checkpoints), CheckpointError> {
    // First the way back to a whole one, by the beginnings of the files only.
    let mut rounds = Vec::new();
    let mut next = names.iter().filter_map(|name| checkpoint_round(name)).max();
    while let Some(round) = next {
        if rounds.len() > MAX_CHAIN || rounds.last().is_some_and(|last| *last <= round) {
            return Err(unusable(round, FormatError::Base));
        }
        rounds.push(round);
        next = format::base(open(disk.as_ref(), round)?).map_err(|source| unusable(round, source))?;
    }
    // Then one file after the other, so that never more than one is held beside the state.
    let (mut state, mut chain) = (State::default(), Vec::new());
    for round in rounds.into_iter().rev() {
        let read = format::read(open(disk.as_ref(), round)?).map_err(|source| unusable(round, source))?;
        if read.base != chain.last().map(|(before, _)| *before) {
            return Err(unusable(round, FormatError::Base));
        }
        chain.push((round, read.bytes));
        state = read
            .apply(&state, engine)
            .map_err(|source| unusable(round, source))?;
    }
    Ok((
        state.clone(),
        Checkpoints {
            disk: disk.clone(),
            last: state,
            chain,
        },
    ))
}

fn open(disk: &dyn Disk, round: u64) -> Result<Box<dyn Read + Send>, CheckpointError> {
    let file = checkpoint_name(round);
    disk.open(&file)
        .map_err(|source| CheckpointError::Io { file, source })
}

fn unusable(round: u64, source: FormatError) -> CheckpointError {
    CheckpointError::Unusable {
        file: checkpoint_name(round),
        source: Box::new(source),
    }
}

impl Checkpoints {
    /// The round of the last one, 0 when there is none.
    pub fn round(&self) -> u64 {
        self.last.round
    }

    /// Writes a checkpoint and removes what it makes superfluous. Returns its size.
    pub fn write(&mut self, state: &State) -> Result<u64, CheckpointError> {
        if state.round == self.last.round {
            return Ok(0);
        }
        let differences: u64 = self.chain.iter().skip(1).map(|(_, bytes)| bytes).sum();
        let whole = match self.chain.first() {
            None => true,
            Some((_, first)) => self.chain.len() >= MAX_CHAIN || differences > *first,
        };
        let empty = State::default();
        let (base, old) = if whole {
            (None, &empty)
        } else {
            (Some(self.last.round), &self.last)
        };
        let file = checkpoint_name(state.round);
        let bytes = write_whole(self.disk.as_ref(), &file, |output| {
            format::write(output, state, base, old)
        })
        .map_err(|error| match error {
            // The log still has everything.
            WholeError::Content(source) | WholeError::Named(source) => CheckpointError::Io {
                file: file.clone(),
                source,
            },
            WholeError::Sync(source) => CheckpointError::Sync {
                file: file.clone(),
                source,
            },
        })?;
        if whole {
            self.chain.clear();
        }
        self.chain.push((state.round, bytes));
        self.last = state.clone();
        self.clean()
            .map_err(|source| CheckpointError::Io { file, source })?;
        Ok(bytes)
    }

    /// Removes checkpoints outside of the chain, and log segments whose every record is in the last checkpoint.
    fn clean(&self) -> io::Result<()> {
        let names = self.disk.list()?;
        for name in &names {
            if checkpoint_round(name).is_some_and(|round| !self.chain.iter().any(|(kept, _)| *kept == round))
            {
                self.disk.remove(name)?;
            }
        }
        let mut segments: Vec<(u64, &String)> = names
            .iter()
            .filter_map(|name| Some((segment_round(name)?, name)))
            .collect();
        segments.sort_unstable();
        for pair in segments.windows(2) {
            // The last record of a segment is the one before the first of the next.
            if pair[1].0 <= self.last.round + 1 {
                self.disk.remove(pair[0].1)?;
            }
        }
        Ok(())
    }
}
