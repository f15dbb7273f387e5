//! Recovery: applies commit logs again, and ends a log once its changes are durable in the files themselves.

use std::collections::BTreeSet;
use std::io;

use super::disk::{Disk, ancestors, sync_names};
use super::op::decode_record;

/// Directory of the commit logs.
pub const WAL_DIR: &str = "wal";

/// Path of a commit log.
pub fn log_path(number: u64) -> String {
    format!("{WAL_DIR}/{number:016}.wal")
}

fn log_number(name: &str) -> Option<u64> {
    name.strip_suffix(".wal")?.parse().ok()
}

/// Why the volume cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The logs cannot be read.
    #[error("cannot read the commit logs")]
    Read(#[source] io::Error),
    /// A committed change cannot be applied.
    #[error("cannot apply a committed change of {path}")]
    Apply {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The changes cannot be made durable.
    #[error("cannot sync what was recovered")]
    Sync(#[source] io::Error),
}

/// What a recovery did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Records applied.
    pub records: u64,
    /// Number of the next log.
    pub next: u64,
}

/// Applies all logs in order and removes them.
///
/// # Errors
/// When the volume fails; nothing is lost, the next start tries again.
pub fn replay(disk: &dyn Disk) -> Result<Replayed, ReplayError> {
    let mut numbers: Vec<u64> = disk
        .list(WAL_DIR)
        .map_err(ReplayError::Read)?
        .iter()
        .filter_map(|name| log_number(name))
        .collect();
    numbers.sort_unstable();
    let mut done = Replayed {
        records: 0,
        next: numbers.last().map_or(1, |last| last + 1),
    };
    let mut dirty = BTreeSet::new();
    for number in &numbers {
        let content = disk.read(&log_path(*number)).map_err(ReplayError::Read)?;
        let mut input = content.as_slice();
        while let Some(ops) = decode_record(&mut input) {
            for op in &ops {
                op.apply(disk).map_err(|source| ReplayError::Apply {
                    path: op.path().to_owned(),
                    source,
                })?;
                dirty.insert(op.path().to_owned());
            }
            done.records += 1;
        }
    }
    sync_changes(disk, &dirty).map_err(ReplayError::Sync)?;
    // Oldest first: were a newer log gone and an older one still there, it would undo newer changes.
    for number in numbers {
        remove_log(disk, number).map_err(ReplayError::Sync)?;
    }
    Ok(done)
}

/// Makes the changes of a log durable in the files, then removes the log.
///
/// # Errors
/// When the volume fails; the log stays.
pub fn finish_log(disk: &dyn Disk, number: u64, dirty: &BTreeSet<String>) -> io::Result<()> {
    sync_changes(disk, dirty)?;
    remove_log(disk, number)
}

fn remove_log(disk: &dyn Disk, number: u64) -> io::Result<()> {
    let path = log_path(number);
    disk.remove_file(&path)?;
    sync_names(disk, &path)
}

fn sync_changes(disk: &dyn Disk, dirty: &BTreeSet<String>) -> io::Result<()> {
    let mut dirs = BTreeSet::new();
    for path in dirty {
        match disk.sync_file(path) {
            Ok(()) => {}
            // Removed since; the removal itself is durable with its directory.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        dirs.extend(ancestors(path));
    }
    for dir in dirs.into_iter().rev() {
        match disk.sync_dir(dir) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
