//! Where a node's keys come from.

use crate::backup::RESTORING;
use crate::cert::keys::{Keys, KeysError, Secrets};
use crate::log::checkpoint::checkpoint_round;
use crate::log::disk::{Disk, TEMPORARY, read_all, write_atomically};
use crate::log::journal::segment_round;
use std::io;
use std::path::{Path, PathBuf};

/// File of the data folder with the keys.
pub const KEYS: &str = "keys.json";
/// File of the data folder with the root key, DER.
pub const ROOT_KEY: &str = "root_key.der";

/// Why there are no keys.
pub enum LoadError {
    /// The data folder cannot be used.
    Io(io::Error),
    /// They cannot be made.
    Make(KeysError),
    /// What should be keys is none.
    Bad(KeysError),
    /// The file beside the folder cannot be read.
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder holds the state of another root key.
    Other,
    /// The folder holds a state and no keys.
    None,
    /// The folder holds a state without a note of whose it is, or with the mark of a restore that has not ended.
    Missing,
    /// The folder has something else in it, and nothing of a node.
    Alien(String),
}

/// The keys of the folder, made when it is new, or those of a file beside it. They are durable before anybody sees a signature.
/// The folder notes whose state it holds, so that it is never served under another root key. A restore writes that note last and marks
/// the folder meanwhile: a state without the note, or with the mark, is a part of one, whatever keys are given and whatever else is there.
///
/// What is there is compared before anything is written: a folder that is refused is left as it was, and above all without keys that
/// belong to nothing.
pub fn load(disk: &dyn Disk, file: Option<&Path>) -> Result<Keys, LoadError> {
    let names = disk.list().map_err(LoadError::Io)?;
    if names.iter().any(|name| name == RESTORING) {
        return Err(LoadError::Missing);
    }
    let noted = read_all(disk, ROOT_KEY).map_err(LoadError::Io)?;
    if noted.is_none() {
        begins(names)?;
    }
    let given = match file {
        Some(path) => Some(std::fs::read(path).map_err(|source| LoadError::File {
            path: path.to_owned(),
            source,
        })?),
        None => read_all(disk, KEYS).map_err(LoadError::Io)?,
    };
    let keys = match given {
        Some(json) => Keys::from(Secrets::from_json(&json).map_err(LoadError::Bad)?),
        None if noted.is_some() => return Err(LoadError::None),
        None => make(disk)?,
    };
    match noted {
        Some(noted) if noted != keys.root.der() => Err(LoadError::Other),
        Some(_) => Ok(keys),
        None => {
            write_atomically(disk, ROOT_KEY, keys.root.der()).map_err(LoadError::Io)?;
            Ok(keys)
        }
    }
}

/// Makes keys and keeps them in the folder.
fn make(disk: &dyn Disk) -> Result<Keys, LoadError> {
    let secrets = Secrets::generate().map_err(LoadError::Make)?;
    let json = secrets.to_json().map_err(LoadError::Make)?;
    write_atomically(disk, KEYS, &json).map_err(LoadError::Io)?;
    Ok(Keys::from(secrets))
}

/// Whether a node can begin in this folder, which has no note of whose it is.
fn begins(names: Vec<String>) -> Result<(), LoadError> {
    let is_state = |name: &String| checkpoint_round(name).is_some() || segment_round(name).is_some();
    if names.iter().any(is_state) {
        return Err(LoadError::Missing);
    }
    // what a volume begins with, what a start that was killed has left, and keys that were put there
    let is_nothing = |name: &String| {
        ["lock", "lost+found", KEYS].contains(&name.as_str())
            || name.starts_with('.')
            || name.starts_with(TEMPORARY)
    };
    match names.into_iter().filter(|name| !is_nothing(name)).min() {
        Some(name) => Err(LoadError::Alien(name)),
        None => Ok(()),
    }
}
