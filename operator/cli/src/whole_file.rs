//! Files that are there as a whole or not at all: a journal, a backup, what is trusted.

use std::{
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tempfile::{Builder, NamedTempFile};

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Everybody, as far as the umask lets them.
    All,
    /// Only whoever writes it.
    Owner,
}

impl Readers {
    const fn mode(self) -> u32 {
        match self {
            Self::All => 0o644,
            Self::Owner => 0o600,
        }
    }
}

/// A file that gets its name when all of it is on the disk. Until then it has a name of its own beside the target, so it is in the same file
/// system and meets no file of somebody else; when it is dropped unfinished it is removed, and what had the name before is as it was.
#[derive(Debug)]
pub struct WholeFile {
    file: NamedTempFile,
    target: PathBuf,
    folder: File,
}

impl WholeFile {
    /// Begins one. What can be known to fail later fails here, before anything long is written.
    ///
    /// # Errors
    /// When the folder cannot be written or synced, or the name is that of a folder, a device or the like, which nothing may replace.
    pub fn create(target: &Path, readers: Readers) -> io::Result<Self> {
        if fs::metadata(target).is_ok_and(|there| !there.is_file()) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "there is something else than a file with this name",
            ));
        }
        let parent = target
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or_else(|| Path::new("."));
        let folder = File::open(parent)?;
        let file = Builder::new()
            .prefix(".dcanary-")
            .suffix(".part")
            .permissions(Permissions::from_mode(readers.mode()))
            .tempfile_in(parent)?;
        Ok(Self {
            file,
            target: target.to_owned(),
            folder,
        })
    }

    /// All of it at once.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(target: &Path, readers: Readers, content: &[u8]) -> io::Result<()> {
        let mut file = Self::create(target, readers)?;
        file.write_all(content)?;
        file.finish()
    }

    /// Gives it its name, over what has it. Then a loss of power takes neither the content nor the name away.
    ///
    /// # Errors
    /// When it cannot be synced or renamed.
    pub fn finish(self) -> io::Result<()> {
        self.file.as_file().sync_all()?;
        self.file.persist(&self.target).map_err(|failed| failed.error)?;
        match self.folder.sync_all() {
            // some network file systems have no such thing as a folder that is synced
            Err(source)
                if matches!(
                    source.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported
                ) =>
            {
                Ok(())
            }
            synced => synced,
        }
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_file_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_file_mut().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn the_name_keeps_what_it_had_until_the_file_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("journal.cbor");
        fs::write(&target, "before").unwrap();
        let mut file = WholeFile::create(&target, Readers::All).unwrap();
        file.write_all(b"after").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"before");
        file.finish().unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"after");
        assert_eq!(names(folder.path()), ["journal.cbor"]);
    }

    #[test]
    fn what_is_dropped_unfinished_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("journal.cbor");
        let mut file = WholeFile::create(&target, Readers::All).unwrap();
        file.write_all(b"half").unwrap();
        assert_eq!(names(folder.path()).len(), 1, "it is beside its target");
        drop(file);
        assert!(names(folder.path()).is_empty());
    }

    #[test]
    fn a_target_that_ends_in_part_is_whole_too_and_a_part_of_somebody_else_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (target, other) = (folder.path().join("x.part"), folder.path().join("y.part"));
        fs::write(&target, "before").unwrap();
        fs::write(&other, "not ours").unwrap();
        drop(WholeFile::create(&target, Readers::All).unwrap());
        assert_eq!(fs::read(&target).unwrap(), b"before");
        WholeFile::keep(&target, Readers::All, b"after").unwrap();
        WholeFile::keep(&folder.path().join("y.cbor"), Readers::All, b"ours").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"after");
        assert_eq!(fs::read(&other).unwrap(), b"not ours");
        assert_eq!(names(folder.path()), ["x.part", "y.cbor", "y.part"]);
    }

    #[test]
    fn what_is_for_its_owner_is_never_readable_by_others_whatever_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let target = folder.path().join("backup");
        for there in [&target, &target.with_extension("part")] {
            fs::write(there, "before").unwrap();
            fs::set_permissions(there, Permissions::from_mode(0o666)).unwrap();
        }
        let file = WholeFile::create(&target, Readers::Owner).unwrap();
        assert_eq!(mode(file.file.path()), 0o600, "not even while it is written");
        file.finish().unwrap();
        assert_eq!(mode(&target), 0o600);
    }

    #[test]
    fn what_is_for_all_has_the_mode_that_the_umask_gives_any_file() {
        let folder = tempfile::tempdir().unwrap();
        let (target, other) = (folder.path().join("journal"), folder.path().join("other"));
        WholeFile::keep(&target, Readers::All, b"").unwrap();
        fs::write(&other, "").unwrap();
        assert_eq!(mode(&target), mode(&other) & 0o644);
    }

    #[test]
    fn what_is_no_file_is_refused_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("place");
        fs::create_dir(&place).unwrap();
        for target in [place.as_path(), Path::new("/dev/null")] {
            let refused = WholeFile::create(target, Readers::All).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidInput, "{refused}");
        }
        let nowhere = folder.path().join("no").join("x");
        assert!(WholeFile::create(&nowhere, Readers::All).is_err());
        assert_eq!(names(folder.path()), ["place"]);
    }
}
