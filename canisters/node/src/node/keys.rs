//! Where a node's keys come from.

use crate::cert::keys::{Keys, KeysError, Secrets};
use crate::log::disk::{Disk, read_all, write_atomically};
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
}

/// The keys of the folder, made when it is new, or those of a file beside it. They are durable before anybody sees a signature.
/// The folder notes whose state it holds, so that it is never served under another root key.
pub fn load(disk: &dyn Disk, file: Option<&Path>) -> Result<Keys, LoadError> {
    let secrets = if let Some(path) = file {
        let json = std::fs::read(path).map_err(|source| LoadError::File {
            path: path.to_owned(),
            source,
        })?;
        Secrets::from_json(&json).map_err(LoadError::Keys)?
    } else if let Some(json) = read_all(disk, KEYS).map_err(LoadError::Io)? {
        Secrets::from_json(&json).map_err(LoadError::Keys)?
    } else {
        let secrets = Secrets::generate().map_err(LoadError::Keys)?;
        let json = secrets.to_json().map_err(LoadError::Keys)?;
        write_atomically(disk, KEYS, &json).map_err(LoadError::Io)?;
        secrets
    };
    let keys = Keys::from(secrets);
    match read_all(disk, ROOT_KEY).map_err(LoadError::Io)? {
        Some(noted) if noted != keys.root.der() => Err(LoadError::Other),
        Some(_) => Ok(keys),
        None => {
            write_atomically(disk, ROOT_KEY, keys.root.der()).map_err(LoadError::Io)?;
            Ok(keys)
        }
    }
}
