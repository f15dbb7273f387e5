//! Putting a backup into an empty data folder.

use super::sums::{SUMS, Sums};
use super::{DESCRIPTION, Description, FORMAT, INCARNATION, RESTORING, WITHOUT_SUMS};
use crate::log::checkpoint::checkpoint_round;
use crate::log::disk::{Disk, Folder, TEMPORARY, WholeError, write_atomically, write_whole};
use crate::log::journal::segment_round;
use crate::log::replay::VERSION;
use crate::node::{KEYS, ROOT_KEY};
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Largest description; beyond it, it is none of ours.
const MAX_DESCRIPTION: u64 = 1 << 20;
/// Read at once.
const PIECE: usize = 1 << 20;

/// Why a backup is not restored. The folder is left as empty as it was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// A node works on the folder.
    #[error("the data folder {} is in use by a node", .0.display())]
    InUse(PathBuf),
    /// There is something in the folder.
    #[error(
        "the data folder {} is not empty: it has `{name}`. Restore into an empty one, or give `--replace` to put the backup in its place and \
         keep what is there beside it",
        folder.display()
    )]
    NotEmpty {
        /// The folder.
        folder: PathBuf,
        /// What is in it.
        name: String,
    },
    /// The folder cannot be written.
    #[error("cannot write into {}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The backup cannot be read.
    #[error("the backup cannot be read")]
    Read(#[source] io::Error),
    /// The backup ends in the middle of something.
    #[error(
        "the backup is not whole: it ends early. Copy it again from where it is kept, or use another one"
    )]
    EndsEarly,
    /// The backup is none.
    #[error(
        "this is no backup of a node: {0}. Backups are made by `dcanary ledger backup` and `dcanary-node backup`"
    )]
    Malformed(String),
    /// Something in the backup is not what was put into it.
    #[error(
        "the backup is damaged: `{0}` is not what was put into it (another SHA-256). Copy it again from where it is kept, or use another one"
    )]
    Damaged(String),
    /// The backup is of another network than the data in whose place it would come.
    #[error(
        "the backup is of another network than the data in {}: its root key is {backup}, and theirs is {here}. Nothing was \
         changed; a node goes on from it in an empty folder, with the keys of that network",
        folder.display()
    )]
    OtherNetwork {
        /// The folder.
        folder: PathBuf,
        /// The root key of the data, DER in hexadecimal.
        here: String,
        /// The root key of the backup, the same.
        backup: String,
    },
    /// The backup ends early.
    #[error("the backup is not whole: `{0}` is missing")]
    Missing(String),
}

impl RestoreError {
    /// What a failure in a folder is.
    pub(super) fn of(folder: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self::Folder {
            folder: folder.to_owned(),
            source,
        }
    }
}

/// A folder on which no node works, and none begins to while it is held.
pub(super) fn held(folder: &Path) -> Result<Folder, RestoreError> {
    Folder::open(folder)
        .map_err(RestoreError::of(folder))?
        .ok_or_else(|| RestoreError::InUse(folder.to_owned()))
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// How many files.
    pub files: usize,
    /// The folder's incarnation now.
    pub incarnation: u64,
    /// DER of the network's root key.
    pub root_key: Vec<u8>,
    /// Whether the keys came with it.
    pub keys: bool,
}

/// Puts a backup into an empty folder and counts up its incarnation, to at least `incarnation`.
///
/// Whether its contents can be used is found out by the node at its next start, by their check sums.
///
/// # Errors
/// When the folder is not empty or cannot be written, or the backup is none or not whole.
pub fn restore(folder: &Path, incarnation: u64, input: impl Read) -> Result<Restored, RestoreError> {
    restore_beside(folder, incarnation, None, input)
}

/// As [`restore`], for a backup that is to come in the place of data: their folder and root key, which the backup has to have.
pub(super) fn restore_beside(
    folder: &Path,
    incarnation: u64,
    data: Option<(&Path, &[u8])>,
    input: impl Read,
) -> Result<Restored, RestoreError> {
    let failed = RestoreError::of(folder);
    let disk = held(folder)?;
    let mut there = disk.list().map_err(&failed)?;
    // `lost+found` is what a new volume has
    there.retain(|name| name != "lock" && name != "lost+found");
    let is_rest = there.iter().any(|name| name == RESTORING);
    // the mark itself may have been interrupted
    let other = there
        .iter()
        .find(|name| !(is_mark_to_be(name) || is_rest && is_of_a_restore(name)));
    if let Some(name) = other {
        return Err(RestoreError::NotEmpty {
            folder: folder.to_owned(),
            name: name.clone(),
        });
    }
    clear(&disk, &there).map_err(&failed)?;
    // until it is whole no node begins here, whatever of it is there when it is interrupted
    write_atomically(&disk, RESTORING, b"").map_err(&failed)?;
    let mut unpacked = Vec::new();
    let mut input = Ending { input, ended: false };
    let result = unpack(&disk, &mut unpacked, incarnation, data, &mut input).map_err(|error| match error {
        Unpack::Disk(source) => failed(source),
        Unpack::Backup(RestoreError::Read(_)) if input.ended => RestoreError::EndsEarly,
        Unpack::Backup(error) => error,
    });
    let result = result.and_then(|restored| {
        disk.remove(RESTORING)
            .and_then(|()| disk.sync_dir())
            .map_err(&failed)?;
        Ok(restored)
    });
    let is_marked = || {
        disk.list()
            .is_ok_and(|names| names.iter().any(|name| name == RESTORING))
    };
    // Without the mark it is whole, and stays. What cannot be removed keeps its mark, and the next attempt names it.
    if result.is_err() && is_marked() {
        let _ = clear(&disk, &unpacked).and_then(|()| disk.remove(RESTORING));
    }
    result
}

/// Removes what a restore has put there. Its mark stays until everything else is gone for good: without it a node would begin in the rest.
fn clear(disk: &Folder, names: &[String]) -> io::Result<()> {
    for name in names.iter().filter(|name| *name != RESTORING) {
        match disk.remove(name) {
            // interrupted before it had its name
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    disk.sync_dir()
}

/// A backup that is read, which knows whether it was read to its end. The library for tar files has no error of its own for one that ends early.
struct Ending<R> {
    input: R,
    ended: bool,
}

impl<R: Read> Read for Ending<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.ended |= read == 0 && !buffer.is_empty();
        Ok(read)
    }
}

enum Unpack {
    Disk(io::Error),
    Backup(RestoreError),
}

impl From<RestoreError> for Unpack {
    fn from(error: RestoreError) -> Self {
        Self::Backup(error)
    }
}

fn malformed(what: impl Into<String>) -> Unpack {
    Unpack::Backup(RestoreError::Malformed(what.into()))
}

fn unpack(
    disk: &Folder,
    unpacked: &mut Vec<String>,
    incarnation: u64,
    data: Option<(&Path, &[u8])>,
    input: impl Read,
) -> Result<Restored, Unpack> {
    let mut tar = tar::Archive::new(input);
    let mut entries = tar.entries().map_err(RestoreError::Read)?;
    let first = entries
        .next()
        .ok_or_else(|| malformed("it is empty"))?
        .map_err(|error| malformed(format!("it is no tar file ({error})")))?;
    let mut found = Sums::default();
    let description = describe(first, &mut found)?;
    let root_key =
        hex::decode(&description.root_key).map_err(|_| malformed("its root key is not hexadecimal"))?;
    // before anything is unpacked, which may be more than there is room for
    if let Some((folder, here)) = data.filter(|(_, here)| *here != root_key) {
        return Err(Unpack::Backup(RestoreError::OtherNetwork {
            folder: folder.to_owned(),
            here: hex::encode(here),
            backup: description.root_key,
        }));
    }
    let mut due: BTreeSet<&str> = description.files.iter().map(String::as_str).collect();
    if let Some(name) = due.iter().find(|name| !is_of_a_node(name)) {
        return Err(malformed(format!("it names `{name}`")));
    }
    let mut noted = None;
    for entry in entries {
        let entry = entry.map_err(RestoreError::Read)?;
        let name = name_of(&entry);
        if name == SUMS && noted.is_none() {
            noted = Some(sums(entry)?);
            continue;
        }
        if !due.remove(name.as_str()) || !entry.header().entry_type().is_file() {
            return Err(malformed(format!("`{name}` does not belong into it")));
        }
        let mut entry = Sums::of(entry);
        write(disk, unpacked, &name, &mut entry)?;
        found.note(&name, entry.sum());
    }
    if let Some(name) = due.first() {
        return Err(RestoreError::Missing((*name).to_owned()).into());
    }
    if noted.is_none() && description.format != WITHOUT_SUMS {
        return Err(RestoreError::Missing(SUMS.to_owned()).into());
    }
    // whatever format it claims: that is a byte of it, too
    if let Some(name) = noted.as_ref().and_then(|noted| found.differs(noted)) {
        return Err(RestoreError::Damaged(name.to_owned()).into());
    }
    let incarnation = description.incarnation.saturating_add(1).max(incarnation);
    let version = description
        .written_by
        .map(|version| (VERSION, version.into_bytes()));
    let counted = (INCARNATION, format!("{incarnation}\n").into_bytes());
    // last, as a node takes no state without it: what is interrupted before is no data folder
    let whose = (ROOT_KEY, root_key.clone());
    for (name, bytes) in [counted].into_iter().chain(version).chain([whose]) {
        unpacked.push(name.to_owned());
        write_atomically(disk, name, &bytes).map_err(Unpack::Disk)?;
    }
    Ok(Restored {
        files: description.files.len(),
        incarnation,
        root_key,
        keys: description.files.iter().any(|name| name == KEYS),
    })
}

fn describe(entry: tar::Entry<'_, impl Read>, found: &mut Sums) -> Result<Description, Unpack> {
    if name_of(&entry) != DESCRIPTION {
        return Err(malformed(format!("it does not begin with `{DESCRIPTION}`")));
    }
    let mut entry = Sums::of(entry);
    let bytes = small(&mut entry)?;
    found.note(DESCRIPTION, entry.sum());
    let description: Description =
        serde_json::from_slice(&bytes).map_err(|error| malformed(format!("`{DESCRIPTION}`: {error}")))?;
    if ![WITHOUT_SUMS, FORMAT].contains(&description.format) {
        return Err(malformed(format!(
            "it has format {}, and this version of dcanary-node reads {WITHOUT_SUMS} and {FORMAT}",
            description.format
        )));
    }
    Ok(description)
}

fn sums(entry: impl Read) -> Result<Sums, Unpack> {
    let text = String::from_utf8(small(entry)?).ok();
    text.and_then(|text| Sums::read(&text))
        .ok_or_else(|| Unpack::Backup(RestoreError::Damaged(SUMS.to_owned())))
}

/// An entry that is read as a whole.
fn small(entry: impl Read) -> Result<Vec<u8>, Unpack> {
    let mut bytes = Vec::new();
    entry
        .take(MAX_DESCRIPTION)
        .read_to_end(&mut bytes)
        .map_err(RestoreError::Read)?;
    Ok(bytes)
}

fn name_of(entry: &tar::Entry<'_, impl Read>) -> String {
    String::from_utf8_lossy(&entry.path_bytes()).into_owned()
}

/// Whether a file of this name can be in a data folder. Nothing else is ever written: a name may come from a stranger.
fn is_of_a_node(name: &str) -> bool {
    name == KEYS || checkpoint_round(name).is_some() || segment_round(name).is_some()
}

/// Whether it is the mark of a restore before it has its name.
fn is_mark_to_be(name: &str) -> bool {
    let middle = name.strip_prefix(TEMPORARY);
    let middle = middle.and_then(|rest| rest.strip_suffix(RESTORING)?.strip_suffix('-'));
    middle.is_some_and(|middle| middle.len() == 16 && middle.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether a restore that was interrupted may have left a file of this name. Keys are not among them: they might be somebody's only ones.
fn is_of_a_restore(name: &str) -> bool {
    [RESTORING, INCARNATION, VERSION, ROOT_KEY].contains(&name)
        || name.starts_with(TEMPORARY)
        || (is_of_a_node(name) && name != KEYS)
}

/// Under its name only when it is whole and synced.
fn write(disk: &Folder, unpacked: &mut Vec<String>, name: &str, mut bytes: impl Read) -> Result<(), Unpack> {
    unpacked.push(name.to_owned());
    write_whole(disk, name, |file| {
        let mut piece = vec![0; PIECE];
        loop {
            let read = bytes.read(&mut piece).map_err(RestoreError::Read)?;
            let Some(piece) = piece.get(..read).filter(|piece| !piece.is_empty()) else {
                return Ok(());
            };
            file.write(piece).map_err(Unpack::Disk)?;
        }
    })
    .map_err(|error| match error {
        WholeError::Content(error) => error,
        WholeError::Named(error) | WholeError::Sync(error) => Unpack::Disk(error),
    })
}
