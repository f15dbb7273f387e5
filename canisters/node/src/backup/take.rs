//! Taking a backup.

use super::archive::{Archive, EntryError};
use super::sums::SUMS;
use super::{DESCRIPTION, Description, FORMAT, INCARNATION, counted};
use crate::cert::keys::{Keys, Secrets};
use crate::log::checkpoint::checkpoint_round;
use crate::log::journal::segment_round;
use crate::log::replay::VERSION;
use crate::node::{KEYS, ROOT_KEY};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// How often the folder is looked at again when files went away in between.
const ATTEMPTS: usize = 100;

/// Why there is no backup.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BackupError {
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Not a data folder.
    #[error("{} is no data folder of a node: it has no `{ROOT_KEY}`", .0.display())]
    NoData(PathBuf),
    /// The keys are asked for and not there.
    #[error("{} holds no keys: they are in the file that the node is started with (--keys)", .0.display())]
    NoKeys(PathBuf),
    /// The keys are not those that the data was made with.
    #[error(
        "`{KEYS}` in {} is not of the network whose data it holds: a backup with it could not be started. Give --with-keys only \
         where the node keeps its keys in the folder, and remove the file where it is started with --keys",
        .0.display()
    )]
    OtherKeys(PathBuf),
    /// The keys cannot be read.
    #[error("`{KEYS}` in {} holds no keys", folder.display())]
    BadKeys {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Checkpoints came and went all the time.
    #[error("the files of {} change too quickly: try again", .0.display())]
    Busy(PathBuf),
    /// The backup cannot be written.
    #[error("cannot write the backup")]
    Write(#[source] io::Error),
}

/// What a backup holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// How many files.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// An open file, of which so much belongs to the backup.
struct Part {
    name: String,
    file: File,
    len: u64,
}

/// Writes a backup of the data folder, also while a node works on it. It holds every update that was answered before it began.
///
/// With `keys` it holds the node's keys too, when they are in the folder: whoever has it can sign as this network.
///
/// # Errors
/// When the folder is none of a node, or something cannot be read or written.
pub fn take(folder: &Path, keys: bool, output: impl Write) -> Result<Taken, BackupError> {
    let parts = open(folder)?;
    let root_key = read(folder, ROOT_KEY)?.ok_or_else(|| BackupError::NoData(folder.to_owned()))?;
    let secret = if keys {
        Some(keys_of(folder, &root_key)?)
    } else {
        None
    };
    let incarnation = match read(folder, INCARNATION)? {
        None => 0,
        Some(text) => counted(&text).map_err(|source| BackupError::Read {
            path: folder.join(INCARNATION),
            source,
        })?,
    };
    let written_by = read(folder, VERSION)?.map(|text| String::from_utf8_lossy(&text).into_owned());
    let mut files: Vec<String> = parts.iter().map(|part| part.name.clone()).collect();
    files.extend(secret.is_some().then(|| KEYS.to_owned()));
    let description = Description {
        format: FORMAT,
        node: env!("CARGO_PKG_VERSION").to_owned(),
        written_by,
        root_key: hex::encode(&root_key),
        incarnation,
        files,
    };
    let described = serde_json::to_vec(&description).map_err(|error| BackupError::Write(error.into()))?;
    let failed = |name: &str| {
        let path = folder.join(name);
        move |error| match error {
            EntryError::Read(source) => BackupError::Read { path, source },
            EntryError::Write(source) => BackupError::Write(source),
        }
    };
    let mut archive = Archive::new(output);
    let mut taken = Taken { files: 0, bytes: 0 };
    archive
        .add(DESCRIPTION, described.len() as u64, described.as_slice())
        .map_err(failed(DESCRIPTION))?;
    for Part { name, file, len } in parts {
        // what is appended from now on is left for the next one
        archive.add(&name, len, file).map_err(failed(&name))?;
        taken.files += 1;
        taken.bytes += len;
    }
    if let Some(secret) = secret {
        archive
            .add(KEYS, secret.len() as u64, secret.as_slice())
            .map_err(failed(KEYS))?;
        taken.files += 1;
    }
    archive.finish().map_err(failed(SUMS))?;
    Ok(taken)
}

/// Opens all checkpoints and segments at once. The node removes them only after what replaces them is durable, and an open file
/// stays readable: so when every file of a listing could be opened, and the listing missed none, together they are a state that was on the disk.
fn open(folder: &Path) -> Result<Vec<Part>, BackupError> {
    for _ in 0..ATTEMPTS {
        if let Some(parts) = try_open(folder)? {
            return Ok(parts);
        }
    }
    Err(BackupError::Busy(folder.to_owned()))
}

/// `None` when a file went away in between.
fn try_open(folder: &Path) -> Result<Option<Vec<Part>>, BackupError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| BackupError::Read { path, source }
    };
    // A segment with another after it in the listing had ended. The last one may grow, and is cut where it was when it was opened: a
    // record of which only a part is there then was not answered yet, and is cut off by the node as after a crash.
    let names = list(folder).map_err(failed(folder))?;
    let mut parts = Vec::with_capacity(names.len());
    for name in &names {
        let path = folder.join(name);
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed(&path))?,
        };
        let len = file.metadata().map_err(failed(&path))?.len();
        let name = name.clone();
        parts.push(Part { name, file, len });
    }
    let after = list(folder).map_err(failed(folder))?;
    Ok(is_whole(&names, &after).then_some(parts))
}

/// The names of checkpoints and segments.
fn list(folder: &Path) -> io::Result<BTreeSet<String>> {
    let names = std::fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names
        .filter(|name: &io::Result<String>| {
            name.as_ref().map_or(true, |name| {
                checkpoint_round(name).is_some() || segment_round(name).is_some()
            })
        })
        .collect()
}

/// Whether a listing missed nothing that belongs to it, as a later one shows. A listing is not one moment (`readdir` of POSIX leaves open whether it has what comes or
/// goes meanwhile): it could miss a checkpoint that is new, and the segments that are removed because of it, too. Only segments behind all others
/// may have come: they were begun after the first listing was.
fn is_whole(listed: &BTreeSet<String>, later: &BTreeSet<String>) -> bool {
    let newest = listed.iter().filter_map(|name| segment_round(name)).max();
    later
        .difference(listed)
        .all(|name| segment_round(name).is_some_and(|round| newest.is_none_or(|newest| newest < round)))
}

/// The keys in the folder, if they are those of its data: with others the network's own would be lost, and nobody would know.
fn keys_of(folder: &Path, root_key: &[u8]) -> Result<Vec<u8>, BackupError> {
    let json = read(folder, KEYS)?.ok_or_else(|| BackupError::NoKeys(folder.to_owned()))?;
    let secrets = Secrets::from_json(&json).map_err(|error| BackupError::BadKeys {
        folder: folder.to_owned(),
        source: error.into(),
    })?;
    if Keys::from(secrets).root.der() != root_key {
        return Err(BackupError::OtherKeys(folder.to_owned()));
    }
    Ok(json)
}

fn read(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, BackupError> {
    let path = folder.join(name);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(BackupError::Read { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::checkpoint::checkpoint_name;
    use crate::log::journal::segment_name;

    #[test]
    fn a_listing_is_whole_unless_a_later_one_has_a_checkpoint_or_an_older_segment_that_it_missed() {
        let (checkpoint, segment) = (checkpoint_name, segment_name);
        let listed = BTreeSet::from([checkpoint(10), segment(11), segment(15)]);
        let with = |name: String| {
            let mut later = listed.clone();
            later.insert(name);
            is_whole(&listed, &later)
        };
        assert!(is_whole(&listed, &listed) && is_whole(&listed, &BTreeSet::new()));
        assert!(with(segment(16)));
        assert!(!with(segment(13)) && !with(checkpoint(14)) && !with(checkpoint(20)));
        let empty = BTreeSet::new();
        assert!(is_whole(&empty, &BTreeSet::from([segment(1)])));
        assert!(!is_whole(&empty, &BTreeSet::from([checkpoint(1)])));
    }
}
