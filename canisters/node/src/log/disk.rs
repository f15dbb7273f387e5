//! The few file operations that durability rests on, so that a test can replace the disk by one that misbehaves.
//!
//! All names are plain file names in one folder. Nothing is durable before `sync` (contents) and `sync_dir` (names).

use rand::RngCore;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A folder.
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// All file names.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens a file to read it from the start.
    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>>;
    /// Creates a file, or empties it.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file to append to it.
    fn append(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Writes the beginning of a file anew, which needs no more room, and makes it durable.
    fn overwrite(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Renames a file over another.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_dir(&self) -> io::Result<()>;
}

/// A file that is written.
pub trait DiskFile: Send + std::fmt::Debug {
    /// Appends bytes.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Cuts the file to a length.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
    /// Makes the contents durable.
    fn sync(&mut self) -> io::Result<()>;
}

/// How often a lock is looked for that is another file than the one that was opened.
const ATTEMPTS: usize = 100;

/// Whether a path leads to an open file.
fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let (here, there) = (file.metadata()?, std::fs::metadata(path));
    match there {
        Ok(there) => Ok((here.dev(), here.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A real folder, locked for this process.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Held for the lock on it.
    _lock: File,
}

impl Folder {
    /// Opens and locks a folder, creating it when it is missing. `None` when another process has it.
    pub fn open(path: &Path) -> io::Result<Option<Self>> {
        let missing: Vec<&Path> = path
            .ancestors()
            .take_while(|part| !part.as_os_str().is_empty() && !part.exists())
            .collect();
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)?;
        // A new folder is itself a name in its parent, and would be lost with everything in it.
        for parent in missing.iter().filter_map(|part| part.parent()) {
            let here = parent.as_os_str().is_empty();
            File::open(if here { Path::new(".") } else { parent })?.sync_all()?;
        }
        let name = path.join("lock");
        for _ in 0..ATTEMPTS {
            let lock = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .mode(0o600)
                .open(&name)?;
            match lock.try_lock() {
                // another folder may have come in the place of the one whose lock this is, from a backup
                Ok(()) if !is_at(&lock, &name)? => {}
                Ok(()) => {
                    return Ok(Some(Self {
                        path: path.to_owned(),
                        _lock: lock,
                    }));
                }
                Err(std::fs::TryLockError::WouldBlock) => return Ok(None),
                Err(std::fs::TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::other(
            "`lock` is another file each time that it is opened: the file system does not fit",
        ))
    }
}

impl Disk for Folder {
    fn list(&self) -> io::Result<Vec<String>> {
        std::fs::read_dir(&self.path)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(io::BufReader::with_capacity(
            1 << 20,
            File::open(self.path.join(name))?,
        )))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        // 0600 from the first moment: the folder holds keys, and states that only controllers may read.
        let file = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(self.path.join(name))?;
        Ok(Box::new(FolderFile(file)))
    }

    fn append(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(FolderFile(
            OpenOptions::new().append(true).open(self.path.join(name))?,
        )))
    }

    fn overwrite(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).open(self.path.join(name))?;
        file.write_all(bytes)?;
        file.sync_data()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

#[derive(Debug)]
struct FolderFile(File);

impl DiskFile for FolderFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.set_len(len)?;
        // A file that was created, not opened to append, has a position of its own.
        io::Seek::seek(&mut self.0, io::SeekFrom::Start(len)).map(|_| ())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Reads a whole file; `None` when there is none.
pub fn read_all(disk: &dyn Disk, name: &str) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    match disk.open(name) {
        Ok(mut file) => file.read_to_end(&mut bytes).map(|_| Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Why [`write_whole`] failed.
#[derive(Debug, Error)]
pub enum WholeError<E> {
    /// What goes into the file could not be had or written. The file of before is there.
    #[error(transparent)]
    Content(E),
    /// The file could not be created or named. The file of before is there.
    #[error("it cannot be created")]
    Named(#[source] io::Error),
    /// It could not be made durable: nobody knows which of the two is on the disk.
    #[error("it cannot be synced")]
    Sync(#[source] io::Error),
}

/// Writes a file so that after a crash it is there as a whole, or what was there before is.
///
/// It is written under a name that nothing ever had. A name that was used before would not do: a loss of power may undo that an older file,
/// torn by an earlier crash, lost it, and still keep that the file of this name took its place.
///
/// # Errors
/// See [`WholeError`].
pub fn write_whole<T, E>(
    disk: &dyn Disk,
    name: &str,
    content: impl FnOnce(&mut dyn DiskFile) -> Result<T, E>,
) -> Result<T, WholeError<E>> {
    let temporary = format!("{TEMPORARY}{:016x}-{name}", rand::rng().next_u64());
    let mut file = disk.create(&temporary).map_err(WholeError::Named)?;
    let written = content(file.as_mut())
        .map_err(WholeError::Content)
        .and_then(|written| file.sync().map(|()| written).map_err(WholeError::Sync))
        .and_then(|written| {
            disk.rename(&temporary, name)
                .map(|()| written)
                .map_err(WholeError::Named)
        });
    if written.is_err() {
        // Probably no room: what was taken is given back.
        drop(file);
        let _ = disk.remove(&temporary);
    }
    let written = written?;
    disk.sync_dir().map_err(WholeError::Sync)?;
    Ok(written)
}

/// As [`write_whole`], of a small file.
///
/// # Errors
/// Those of the file operations.
pub fn write_atomically(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    write_whole(disk, name, |file| file.write(bytes)).map_err(|error| match error {
        WholeError::Content(error) | WholeError::Named(error) | WholeError::Sync(error) => error,
    })
}

/// Prefix of files that a crash may leave behind.
pub const TEMPORARY: &str = "tmp-";
