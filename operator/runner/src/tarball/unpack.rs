//! Unpacks an archive of which nothing is believed.
//!
//! No entry is written through a symlink, neither one of the archive nor one that was there before, so nothing lands outside of
//! the directory. Links may point anywhere inside of it.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Component, Path, PathBuf};

use nix::fcntl::OFlag;
use tar::{Archive, Entry, EntryType};
use thiserror::Error;

use crate::interrupt::Interrupt;

/// Entries of one archive.
const ENTRIES: usize = 1_000_000;

/// Why an archive is refused.
#[derive(Debug, Error)]
pub(crate) enum UnpackError {
    #[error("it is not a tar archive: {0}")]
    Format(#[source] std::io::Error),
    #[error("the entry `{0}` leads out of the directory")]
    Outside(String),
    #[error("the entry `{path}` goes through `{through}`, which is not a directory")]
    Through { path: String, through: String },
    #[error(
        "the entry `{path}` is a hard link to `{target}`, which is no other plain file of the archive before it"
    )]
    Target { path: String, target: String },
    #[error("the entry `{path}` is of type {kind:?}; only files, directories and links are unpacked")]
    Kind { path: String, kind: EntryType },
    #[error("the entry `{0}` would go into a folder of the runner")]
    Own(String),
    #[error("it holds more than {0} bytes")]
    TooLarge(u64),
    #[error("it holds more than {ENTRIES} entries")]
    TooMany,
    #[error("`{path}` cannot be written: {source}")]
    Write { path: String, source: std::io::Error },
}

/// Unpacks into an existing directory; `limit` bounds the bytes of all files together, `is_own` names the places of the runner. Once it is
/// interrupted nothing more is written: every entry and every piece of a file is read through the interrupt.
pub(crate) fn unpack(
    archive: impl Read,
    directory: &Path,
    limit: u64,
    is_own: impl Fn(&Path) -> bool,
    interrupt: &Interrupt,
) -> Result<(), UnpackError> {
    let mut archive = Archive::new(interrupt.reader(archive));
    let mut left = limit;
    for (number, entry) in archive.entries().map_err(UnpackError::Format)?.enumerate() {
        if number >= ENTRIES {
            return Err(UnpackError::TooMany);
        }
        let mut entry = entry.map_err(UnpackError::Format)?;
        let mut spend = |bytes: u64| {
            left = left.checked_sub(bytes).ok_or(UnpackError::TooLarge(limit))?;
            Ok(())
        };
        spend(entry.size())?;
        let name = PathBuf::from(std::ffi::OsStr::from_bytes(&entry.path_bytes()));
        if clean(&name).is_some_and(|name| is_own(&directory.join(name))) {
            return Err(UnpackError::Own(name.display().to_string()));
        }
        unpack_one(&mut entry, directory, &mut spend, interrupt)?;
    }
    Ok(())
}

fn unpack_one(
    entry: &mut Entry<'_, impl Read>,
    directory: &Path,
    spend: &mut impl FnMut(u64) -> Result<(), UnpackError>,
    interrupt: &Interrupt,
) -> Result<(), UnpackError> {
    let name = entry.path_bytes().into_owned();
    let shown = String::from_utf8_lossy(&name).into_owned();
    let relative = clean(Path::new(std::ffi::OsStr::from_bytes(&name)))
        .ok_or_else(|| UnpackError::Outside(shown.clone()))?;
    let written = |source| UnpackError::Write {
        path: shown.clone(),
        source,
    };
    let kind = entry.header().entry_type();
    if matches!(kind, EntryType::XGlobalHeader) {
        return Ok(());
    }
    let path = directory.join(&relative);
    // of a folder that everybody may write into (1777) the bit that keeps each from the others' files belongs to it
    let kept = if kind == EntryType::Directory {
        0o1777
    } else {
        0o777
    };
    let mode = entry.header().mode().map_err(UnpackError::Format)? & kept;
    make_parents(directory, &relative, &shown)?;
    if kind == EntryType::Directory {
        if !is_directory(&path) && !relative.as_os_str().is_empty() {
            remove(&path).map_err(written)?;
            std::fs::create_dir(&path).map_err(written)?;
        }
        // Never without access for the owner, or nothing could be put into it.
        return std::fs::set_permissions(&path, Permissions::from_mode(mode | 0o700)).map_err(written);
    }
    if relative.as_os_str().is_empty() {
        return Err(UnpackError::Outside(shown));
    }
    match kind {
        EntryType::Regular | EntryType::Continuous => {
            remove(&path).map_err(written)?;
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode)
                .custom_flags(OFlag::O_NOFOLLOW.bits())
                .open(&path)
                .map_err(written)?;
            std::io::copy(entry, &mut file)
                .and_then(|_| file.flush())
                .map_err(written)?;
            file.set_permissions(Permissions::from_mode(mode))
                .map_err(written)
        }
        EntryType::Symlink => {
            // Wherever it leads, as `artifact` stores it: a check of its text would be passed by a chain of links, and what keeps
            // entries inside is that none goes through a link.
            remove(&path).map_err(written)?;
            std::os::unix::fs::symlink(link_target(entry), &path).map_err(written)
        }
        EntryType::Link => {
            let target = link_target(entry);
            let refused = || UnpackError::Target {
                path: shown.clone(),
                target: target.display().to_string(),
            };
            let inner = clean(&target).ok_or_else(refused)?;
            make_parents(directory, &inner, &shown)?;
            let source = directory.join(inner);
            match source.symlink_metadata() {
                Ok(metadata) if metadata.is_file() && source != path => spend(metadata.len())?,
                _ => return Err(refused()),
            }
            remove(&path).map_err(written)?;
            // A copy: a later entry that writes to one of both must not change the other.
            let mut from = interrupt.reader(File::open(source).map_err(written)?);
            let mut to = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(mode)
                .open(&path)
                .map_err(written)?;
            std::io::copy(&mut from, &mut to).map(drop).map_err(written)
        }
        kind => Err(UnpackError::Kind { path: shown, kind }),
    }
}

fn link_target(entry: &Entry<'_, impl Read>) -> PathBuf {
    let target = entry.link_name_bytes().unwrap_or_default();
    PathBuf::from(std::ffi::OsStr::from_bytes(&target))
}

/// A relative path without `.` and `..`; absolute ones and those with `..` are nobody's honest names.
fn clean(path: &Path) -> Option<PathBuf> {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::Normal(part) => clean.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

fn is_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

/// Creates the directories above an entry; each must be a real directory.
fn make_parents(directory: &Path, relative: &Path, shown: &str) -> Result<(), UnpackError> {
    let mut path = directory.to_path_buf();
    for part in relative.parent().unwrap_or(Path::new("")) {
        path.push(part);
        match path.symlink_metadata() {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                let through = path
                    .strip_prefix(directory)
                    .unwrap_or(&path)
                    .display()
                    .to_string();
                return Err(UnpackError::Through {
                    path: shown.to_owned(),
                    through,
                });
            }
            Err(_) => std::fs::create_dir(&path).map_err(|source| UnpackError::Write {
                path: shown.to_owned(),
                source,
            })?,
        }
    }
    Ok(())
}

/// Removes what an entry replaces; a directory is kept and makes the entry fail.
fn remove(path: &Path) -> std::io::Result<()> {
    match path.symlink_metadata() {
        Ok(metadata) if !metadata.is_dir() => std::fs::remove_file(path),
        _ => Ok(()),
    }
}
