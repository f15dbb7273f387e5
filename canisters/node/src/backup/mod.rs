//! Copies of a data folder: taken while a node works on it, put into an empty folder later.
//!
//! A backup is a tar file. Its first entry describes it, the last one has the SHA-256 of all others as `sha256sum` writes it, and between
//! them are checkpoints and log segments as they are. It holds what everybody may know who may read the folder, and no keys unless they
//! are asked for.
//!
//! A node that goes on from a backup has forgotten what came after it, and its clients have not. So it says so: restoring
//! counts up the folder's *incarnation*, which `/api/v2/status` shows and the ledger's owner writes into the journal.

mod archive;
mod replace;
mod restore;
mod sums;
mod take;
#[cfg(test)]
mod tests;

pub use replace::replace;
pub use restore::{RestoreError, Restored, restore};
pub use take::{BackupError, Taken, take};

use crate::log::disk::{Disk, read_all};
use serde::{Deserialize, Serialize};
use std::io;

/// Is there while a backup is put into a folder: what it has then is a part.
pub(crate) const RESTORING: &str = "restoring";

/// File of the data folder that counts how often it was restored; none means never.
pub const INCARNATION: &str = "incarnation";
/// The entry that describes a backup.
const DESCRIPTION: &str = "backup.json";
/// Version of the format of backups.
const FORMAT: u32 = 2;
/// The format before, which had no sums. It is still restored.
const WITHOUT_SUMS: u32 = 1;

/// The first entry of a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    /// Version of the format.
    format: u32,
    /// The version of the program that took it, for people.
    node: String,
    /// What the data folder said of the version that wrote it: the one that can execute the rest of a log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    written_by: Option<String>,
    /// Root key of the network, DER in hexadecimal.
    root_key: String,
    /// How often the folder was restored before.
    incarnation: u64,
    /// Names of the entries that follow.
    files: Vec<String>,
}

/// How often a folder was restored.
///
/// # Errors
/// When the file cannot be read or holds no number.
pub fn incarnation(disk: &dyn Disk) -> io::Result<u64> {
    match read_all(disk, INCARNATION)? {
        Some(text) => counted(&text),
        None => Ok(0),
    }
}

fn counted(text: &[u8]) -> io::Result<u64> {
    let text = String::from_utf8_lossy(text);
    text.trim().parse().map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("`{INCARNATION}` holds no number"),
        )
    })
}
