//! Where a node's keys come from.

use crate::cert::keys::{Keys, KeysError, Secrets};
use crate::log::checkpoint::checkpoint_round;
use crate::log::disk::{Disk, read_all, write_atomically};
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
    /// They are none.
    Keys(KeysError),
    /// The file beside the folder cannot be read.
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder holds the state of another root key.
    Other,
    /// The folder holds a state, and neither keys nor a note of whose it is.
    Missing,
}

/// The keys of the folder, made when it is new, or those of a file beside it. They are durable before anybody sees a signature.
/// The folder notes whose state it holds, so that it is never served under another root key.
///
/// What is there is compared before anything is written: a folder that is refused is left as it was, and above all without keys that
/// belong to nothing.
pub fn load(disk: &dyn Disk, file: Option<&Path>) -> Result<Keys, LoadError> {
    let noted = read_all(disk, ROOT_KEY).map_err(LoadError::Io)?;
    let given = match file {
        Some(path) => Some(std::fs::read(path).map_err(|source| LoadError::File {
            path: path.to_owned(),
            source,
        })?),
        None => read_all(disk, KEYS).map_err(LoadError::Io)?,
    };
    let keys = match given {
        Some(json) => Keys::from(Secrets::from_json(&json).map_err(LoadError::Keys)?),
        None if noted.is_some() => return Err(LoadError::Other),
        None if has_state(disk).map_err(LoadError::Io)? => return Err(LoadError::Missing),
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
    let secrets = Secrets::generate().map_err(LoadError::Keys)?;
    let json = secrets.to_json().map_err(LoadError::Keys)?;
    write_atomically(disk, KEYS, &json).map_err(LoadError::Io)?;
    Ok(Keys::from(secrets))
}

/// Whether a node has worked on the folder.
fn has_state(disk: &dyn Disk) -> io::Result<bool> {
    let names = disk.list()?;
    Ok(names
        .iter()
        .any(|name| checkpoint_round(name).is_some() || segment_round(name).is_some()))
}
