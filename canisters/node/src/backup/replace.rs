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
    let beside = |what| self::beside(folder, what).map_err(&failed);
    let (unpacked, before) = (beside("restoring")?, beside("before")?);
    let data = here.as_deref().map(|root_key| (folder, root_key));
    let swapped = restore_beside(&unpacked, incarnation.max(least), data, input).and_then(|restored| {
        let kept = swap(folder, &unpacked, &before).map_err(&failed)?;
        Ok((restored, kept))
    });
    // Where the data could not be put back, somebody may choose the backup.
    if swapped.is_err() && !before.exists() {
        // only what was unpacked, and its lock
        let _ = std::fs::remove_dir_all(&unpacked);
    }
    let (restored, kept) = swapped?;
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    let synced = std::fs::File::open(parent.unwrap_or(Path::new("."))).and_then(|parent| parent.sync_all());
    synced.map_err(|error| {
        let kept = kept.display();
        let told = format!("{error}; the backup is in its place already, and what was there is in {kept}");
        failed(io::Error::new(error.kind(), told))
    })?;
    Ok((restored, kept))
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
            std::fs::rename(restored, folder).map_err(|error| put_back(folder, restored, before, error))?;
            Ok(before.to_owned())
        }
        Err(error) => Err(error.into()),
    }
}

/// The folder of before back in its place, if that is possible; else says where everything is.
fn put_back(folder: &Path, restored: &Path, before: &Path, error: io::Error) -> io::Error {
    let Err(back) = std::fs::rename(before, folder) else {
        return error;
    };
    let (before, restored) = (before.display(), restored.display());
    let told = format!(
        "{error}; and what was there cannot be put back ({back}): it is in {before}, the backup is in {restored}, and one of them has to be renamed"
    );
    io::Error::new(error.kind(), told)
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_put_in_the_place_leaves_what_was_there_or_says_where_it_is() {
        let all = tempfile::tempdir().unwrap();
        let path = |name: &str| all.path().join(name);
        let (folder, restored, before) = (path("data"), path("restored"), path("before"));
        let failed = || io::Error::other("it failed");
        let fill = |path: &Path| {
            std::fs::create_dir(path).unwrap();
            std::fs::write(path.join("file"), "x").unwrap();
        };
        fill(&before);
        let told = put_back(&folder, &restored, &before, failed()).to_string();
        assert_eq!(told, "it failed");
        assert!(folder.join("file").exists() && !before.exists());
        // somebody made the folder again meanwhile
        fill(&before);
        let told = put_back(&folder, &restored, &before, failed()).to_string();
        assert!(before.join("file").exists());
        for part in [
            failed().to_string(),
            before.display().to_string(),
            restored.display().to_string(),
        ] {
            assert!(told.contains(&part), "{told}");
        }
    }
}
