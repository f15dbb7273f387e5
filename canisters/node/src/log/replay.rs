//! The read side of the log: from a checkpoint to the state of the last synced batch.

use super::checkpoint::{self, CheckpointError, Checkpoints};
use super::codec::Entry;
use super::disk::{Disk, TEMPORARY, read_all, write_atomically};
use super::frame::{Next, SEGMENT_HEADER, SegmentHeader};
use super::journal::{Journal, segment_name, segment_round};
use crate::exec::call::Executor;
use crate::exec::machine::Machine;
use crate::wasm::engine::SEMANTICS;
use crate::wire::hash::Hash;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long a start replays before it writes a checkpoint. Shorter than a start may take before somebody kills it, so that the next one
/// has less to replay, and longer than restoring and writing a state of the usual size.
const PAUSE: Duration = Duration::from_secs(5);

/// File of the data folder that names the version of the node that writes there, for people.
pub const VERSION: &str = "version";

/// Why a node cannot start from its data.
#[derive(Debug, Error)]
pub enum ReplayError {
    /// A file operation failed.
    #[error("cannot read `{file}`")]
    Read {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What was read of the log could not be made sure of.
    #[error("cannot write `{file}` once more, which has to be done before what it holds is shown")]
    Write {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A synced record is damaged.
    #[error(
        "the log is corrupt: `{file}` at byte {offset}: {what}. The data folder has lost acknowledged calls; restore it from a copy"
    )]
    Corrupt {
        /// The file.
        file: String,
        /// Where.
        offset: u64,
        /// What is wrong.
        what: String,
    },
    /// Rounds are missing between the checkpoint and the log, or inside the log.
    #[error("the log is not complete: `{file}` holds round {found} where round {expected} is due")]
    Gap {
        /// The file.
        file: String,
        /// The round found.
        found: u64,
        /// The round needed.
        expected: u64,
    },
    /// The log was written under other rules.
    #[error(
        "`{file}` was written by {by}, which has other semantics, and replaying it could give other results. Start that \
         version once and stop it cleanly: a clean stop leaves nothing to replay"
    )]
    OtherSemantics {
        /// The file.
        file: String,
        /// The version of the node that wrote it.
        by: String,
    },
    /// Replaying gave another state.
    #[error(
        "replaying round {round} gave another state than the node had then; this is a defect of the node"
    )]
    Diverged {
        /// The round.
        round: u64,
    },
    /// The machine failed, and what comes out now says nothing.
    #[error("{why}. Start the node again where it has more memory")]
    Machine {
        /// What it refused.
        why: String,
    },
    /// A checkpoint cannot be used.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
}

/// What a data folder holds.
#[derive(Debug)]
pub struct Recovered {
    /// The state machine after the last synced batch.
    pub machine: Machine,
    /// The log, ready for the next batch.
    pub journal: Journal,
    /// The checkpoints.
    pub checkpoints: Checkpoints,
    /// How many batches were replayed.
    pub replayed: u64,
}

/// Whether a start that has replayed for so long since its last checkpoint, which took so long to write, writes the next one: in
/// the end it writes for at most half of the time.
fn is_due(replayed: Duration, wrote: Duration) -> bool {
    replayed >= PAUSE.max(wrote)
}

/// Restores the last checkpoint and applies the log after it. Where that takes long it writes checkpoints on the way, so that a start
/// that is killed in the middle of it is not for nothing.
///
/// # Errors
/// When what the folder holds cannot be read, or contradicts itself.
pub fn recover(disk: &Arc<dyn Disk>, executor: Executor) -> Result<Recovered, ReplayError> {
    recover_when(disk, executor, &mut is_due)
}

/// As [`recover`]; `due` is asked after each record whether a checkpoint is written, as [`is_due`] is.
pub fn recover_when(
    disk: &Arc<dyn Disk>,
    executor: Executor,
    due: &mut dyn FnMut(Duration, Duration) -> bool,
) -> Result<Recovered, ReplayError> {
    let names = disk.list().map_err(read_error("."))?;
    for name in names.iter().filter(|name| name.starts_with(TEMPORARY)) {
        disk.remove(name).map_err(read_error(name))?;
    }
    // What is seen is built on, and a process that was killed in the middle leaves names that a loss of power still takes back: a checkpoint could
    // survive the one that it holds the difference to.
    disk.sync_dir().map_err(write_error("."))?;
    let fingerprint = executor.limits.fingerprint();
    let version = read_all(disk.as_ref(), VERSION)
        .map_err(read_error(VERSION))?
        .map(|text| String::from_utf8_lossy(&text).into_owned());
    let (state, checkpoints) = checkpoint::restore(disk, &executor.engine, &names)?;
    // Later records name the root of this round too, so restoring is checked like replaying.
    let roots = BTreeMap::from([(state.round, state.root())]);
    let mut replay = Replay {
        machine: Machine::new(executor, state),
        fingerprint,
        roots,
        replayed: 0,
        by: version,
        checkpoints,
        due,
        since: Instant::now(),
        wrote: Duration::ZERO,
    };
    let mut segments: Vec<u64> = names.iter().filter_map(|name| segment_round(name)).collect();
    segments.sort_unstable();
    if let Some(first) = segments.first() {
        // what takes long is said before it begins
        tracing::info!(
            round = replay.machine.state().round,
            segments = segments.len(),
            first,
            "reading the log"
        );
    }
    for (at, first) in segments.iter().enumerate() {
        replay.segment(disk.as_ref(), *first, at + 1 == segments.len())?;
    }
    let Replay {
        machine,
        replayed,
        by: version,
        checkpoints,
        ..
    } = replay;
    let own = own_version();
    if version.is_none_or(|known| known != own) {
        write_atomically(disk.as_ref(), VERSION, own.as_bytes()).map_err(write_error(VERSION))?;
    }
    Ok(Recovered {
        machine,
        journal: Journal::new(disk.clone(), fingerprint),
        checkpoints,
        replayed,
    })
}

/// What this program writes into [`VERSION`]: all that its semantics depend on.
fn own_version() -> String {
    let (version, machine) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    format!("dcanary-node {version} ({SEMANTICS}, {machine})")
}

fn read_error(file: &str) -> impl FnOnce(io::Error) -> ReplayError {
    let file = file.to_owned();
    move |source| ReplayError::Read { file, source }
}

fn write_error(file: &str) -> impl FnOnce(io::Error) -> ReplayError {
    let file = file.to_owned();
    move |source| ReplayError::Write { file, source }
}

struct Replay<'a> {
    machine: Machine,
    fingerprint: Hash,
    roots: BTreeMap<u64, Hash>,
    replayed: u64,
    /// The version that wrote the log, as far as it is known.
    by: Option<String>,
    checkpoints: Checkpoints,
    /// See [`recover_when`].
    due: &'a mut dyn FnMut(Duration, Duration) -> bool,
    /// When the last checkpoint was there.
    since: Instant,
    /// How long writing it took.
    wrote: Duration,
}

impl Replay<'_> {
    fn segment(&mut self, disk: &dyn Disk, first: u64, last: bool) -> Result<(), ReplayError> {
        let file = segment_name(first);
        let bytes = read_all(disk, &file)
            .map_err(read_error(&file))?
            .unwrap_or_default();
        let corrupt = |offset: usize, what: &str| ReplayError::Corrupt {
            file: file.clone(),
            offset: offset as u64,
            what: what.to_owned(),
        };
        let Some(header) = SegmentHeader::decode(&bytes) else {
            if last && bytes.len() <= SEGMENT_HEADER {
                // Crashed while the segment was begun; records come only after the header is synced.
                return discard(disk, &file).map_err(write_error(&file));
            }
            return Err(corrupt(0, "the segment's header is damaged"));
        };
        let mut at = SEGMENT_HEADER;
        loop {
            match header.next(&bytes[at..]) {
                Next::Record { round, end, .. } if self.is_covered(round) => at += end,
                Next::Record { round, payload, end } => {
                    // First whether the payload is of this version at all.
                    if header.fingerprint != self.fingerprint {
                        return Err(self.other(&file));
                    }
                    let entry = Entry::decode(payload).map_err(|error| corrupt(at, &error.to_string()))?;
                    if entry.batch.round != round {
                        return Err(corrupt(at, "the record contradicts its header"));
                    }
                    self.apply(&file, &entry)?;
                    self.checkpoint_when_due()?;
                    at += end;
                }
                Next::End if last => return self.settle(disk, &file, &bytes).map_err(write_error(&file)),
                Next::End => return Ok(()),
                // What follows was never acknowledged.
                Next::Torn if last => {
                    return self.settle(disk, &file, &bytes[..at]).map_err(write_error(&file));
                }
                Next::Torn => return Err(corrupt(at, "a record is damaged, and later segments exist")),
                Next::Corrupt => return Err(corrupt(at, "a record is damaged, and later records exist")),
            }
        }
    }

    /// Whether a round is part of the checkpoint already.
    fn is_covered(&self, round: u64) -> bool {
        round <= self.machine.state().round && self.replayed == 0
    }

    /// Makes sure of the last segment up to where it is whole: what was replayed of it is shown from now on. A process that was killed before
    /// it synced a record, or whose sync failed, leaves one that can be read and may still be lost. Syncing the file again would
    /// not do: after a failed sync the kernel takes what it could not write for written. So it is written once more.
    fn settle(&self, disk: &dyn Disk, file: &str, whole: &[u8]) -> io::Result<()> {
        if self.replayed == 0 {
            // A checkpoint has all of it.
            return discard(disk, file);
        }
        secure(disk, file, whole)
    }

    fn other(&self, file: &str) -> ReplayError {
        let unknown = || "another version of the node".to_owned();
        ReplayError::OtherSemantics {
            file: file.to_owned(),
            by: self.by.clone().unwrap_or_else(unknown),
        }
    }

    fn apply(&mut self, file: &str, entry: &Entry) -> Result<(), ReplayError> {
        let (round, expected) = (entry.batch.round, self.machine.state().round + 1);
        if round != expected {
            return Err(ReplayError::Gap {
                file: file.to_owned(),
                found: round,
                expected,
            });
        }
        if entry.semantics != self.fingerprint[..8] {
            return Err(self.other(file));
        }
        if let Some((round, root)) = entry.checked {
            if self.roots.get(&round).is_some_and(|replayed| *replayed != root) {
                return Err(ReplayError::Diverged { round });
            }
            self.roots = self.roots.split_off(&round);
        }
        self.machine.apply(&entry.batch);
        if let Some(why) = self.machine.executor.engine.broken() {
            return Err(ReplayError::Machine { why: why.to_owned() });
        }
        self.roots.insert(round, self.machine.state().root());
        self.replayed += 1;
        Ok(())
    }

    /// Writes a checkpoint when it is time. It removes segments only that it covers, and those were read before; the last one stays. That
    /// records of the last one may not be durable yet does not matter to it, because it is durable itself.
    fn checkpoint_when_due(&mut self) -> Result<(), ReplayError> {
        if !(self.due)(self.since.elapsed(), self.wrote) {
            return Ok(());
        }
        let begun = Instant::now();
        match self.checkpoints.write(self.machine.state()) {
            Ok(bytes) => {
                tracing::info!(
                    round = self.machine.state().round,
                    bytes,
                    "checkpoint written during the replay"
                );
            }
            // Nobody knows what is on the disk: nothing is shown of it.
            Err(error @ CheckpointError::Sync { .. }) => return Err(error.into()),
            // The log has everything, and the node can be read also where there is no room.
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "no checkpoint could be written during the replay"
            ),
        }
        self.wrote = begun.elapsed();
        self.since = Instant::now();
        Ok(())
    }
}

/// Removes a file for good: it never comes back beside later ones. What makes it needless is durable: [`recover`] begins with that.
fn discard(disk: &dyn Disk, file: &str) -> io::Result<()> {
    disk.remove(file)?;
    disk.sync_dir()
}

/// Gives a file this content, which is the beginning of what it has. Another file is safest; where there is no room for one the old one is
/// written over, so that a node whose disk is full starts and can be read.
fn secure(disk: &dyn Disk, file: &str, bytes: &[u8]) -> io::Result<()> {
    match write_atomically(disk, file, bytes) {
        Err(error) if error.kind() == io::ErrorKind::StorageFull => {
            let mut whole = disk.append(file)?;
            whole.truncate(bytes.len() as u64)?;
            whole.sync()?;
            disk.overwrite(file, bytes)
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_replay_writes_checkpoints_and_no_more_than_half_of_the_time() {
        let [little, more, long] = [1, 10, 60].map(Duration::from_secs);
        assert!(!is_due(little, Duration::ZERO));
        assert!(is_due(more, little));
        assert!(!is_due(more, long));
        assert!(is_due(long, long));
    }
}
