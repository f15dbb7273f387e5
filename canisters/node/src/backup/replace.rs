//! Putting a backup in the place of data, which are kept.

use super::restore::{RestoreError, Restored, held, restore_beside};
use crate::log::disk::read_all;
use crate::node::ROOT_KEY;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Puts a backup in the place of a data folder that has something in it. What was there is kept beside, as `<folder>.before-<n>`, and
/// its incarnation counts too.
///
/// # Errors
/// As for [`restore`](super::restore()); the folder is left as it was. Only if the folder above cannot be synced at the end, the backup is in its place
/// already, and what was there beside it.
pub fn replace(
    folder: &Path,
    incarnation: u64,
    input: impl Read,
) -> Result<(Restored, PathBuf), RestoreError> {
    let failed = RestoreError::of(folder);
    // until the end, so that no node starts in between
    let disk = held(folder)?;
    let least = super::incarnation(&disk).map_err(&failed)?.saturating_add(1);
    let here = read_all(&disk, ROOT_KEY).map_err(&failed)?;
    let beside = beside(folder, "restoring").map_err(&failed)?;
    let data = here.as_deref().map(|root_key| (folder, root_key));
    let swapped = restore_beside(&beside, incarnation.max(least), data, input).and_then(|restored| {
        let before = self::beside(folder, "before").map_err(&failed)?;
        let kept = swap(folder, &beside, &before).map_err(&failed)?;
        Ok((restored, kept))
    });
    // if nothing is in the place, somebody may choose what was unpacked
    if swapped.is_err() && folder.exists() {
        // only what was unpacked, and its lock
        let _ = std::fs::remove_dir_all(&beside);
    }
    let swapped = swapped?;
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    let synced = std::fs::File::open(parent.unwrap_or(Path::new("."))).and_then(|parent| parent.sync_all());
    synced.map_err(failed)?;
    Ok(swapped)
}

/// Puts what was restored in the place of a folder, which is kept under another name. At every moment one of them is in the place: a node
/// that found none would begin a new network under the same keys. Says under which name it is kept.
fn swap(folder: &Path, restored: &Path, before: &Path) -> io::Result<PathBuf> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    use rustix::io::Errno;
    match renameat_with(CWD, folder, CWD, restored, RenameFlags::EXCHANGE) {
        // From here on it is in its place. What was there is under the other name, if it cannot have this one.
        Ok(()) => Ok(std::fs::rename(restored, before)
            .map_or(restored, |()| before)
            .to_owned()),
        // File systems that cannot (NFS, some overlays): the next best is two steps.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            std::fs::rename(folder, before)?;
            std::fs::rename(restored, folder).map_err(|error| {
                // the folder of before back in its place, if that is possible
                let Err(back) = std::fs::rename(before, folder) else {
                    return error;
                };
                let (before, restored) = (before.display(), restored.display());
                let told = format!(
                    "{error}; and what was there cannot be put back ({back}): it is in {before}, the backup is in {restored}, and one of them has to be renamed"
                );
                io::Error::new(error.kind(), told)
            })?;
            Ok(before.to_owned())
        }
        Err(error) => Err(error.into()),
    }
}

/// The first name `<folder>.<what>-<n>` that nothing has.
fn beside(folder: &Path, what: &str) -> io::Result<PathBuf> {
    let name = folder
        .file_name()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the folder has no name"))?;
    let mut number = 1_u32;
    loop {
        let mut other = name.to_owned();
        other.push(format!(".{what}-{number}"));
        let path = folder.with_file_name(other);
        if !path.try_exists()? {
            return Ok(path);
        }
        number += 1;
    }
}
