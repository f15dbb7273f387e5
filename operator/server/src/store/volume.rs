//! The real filesystem under one directory, held by one server at a time.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;

use super::disk::{Disk, Room, Stat};

/// Pause before a volume that somebody holds is tried again.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A mounted volume.
#[derive(Debug)]
pub struct Volume {
    root: PathBuf,
    _lock: File,
}

impl Volume {
    /// Opens a volume and locks it against a second server.
    ///
    /// # Errors
    /// When the directory cannot be created, or another server holds it (`WouldBlock`).
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        std::fs::create_dir_all(&root)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(root.join("lock"))?;
        if !fs4::fs_std::FileExt::try_lock_exclusive(&lock)? {
            return Err(io::Error::new(
                io::ErrorKind::WouldBlock,
                "another server holds the volume",
            ));
        }
        Ok(Self { root, _lock: lock })
    }

    /// Opens a volume as soon as the server that holds it has ended; `None` when `stopping` comes first.
    ///
    /// # Errors
    /// When the directory cannot be created.
    pub async fn wait(root: &Path, stopping: &CancellationToken) -> io::Result<Option<Self>> {
        let mut told = false;
        loop {
            match Self::open(root) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other.map(Some),
            }
            if !told {
                tracing::warn!("another server holds the volume, waiting");
                told = true;
            }
            // A lock that comes free is no event: only a thread that nothing can stop could wait for it.
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stopping.cancelled() => return Ok(None),
            }
        }
    }

    fn path(&self, path: &str) -> PathBuf {
        if path.is_empty() {
            self.root.clone()
        } else {
            self.root.join(path)
        }
    }
}

/// Runs an effect again after making the directories of `path`, when they were missing.
fn with_parents<T>(path: &Path, mut effect: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    match effect() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            effect()
        }
        other => other,
    }
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

impl Disk for Volume {
    fn read(&self, path: &str) -> io::Result<Vec<u8>> {
        std::fs::read(self.path(path))
    }

    fn read_at(&self, path: &str, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let file = File::open(self.path(path))?;
        let mut bytes = vec![0; len];
        let mut filled = 0;
        while filled < len {
            match file.read_at(&mut bytes[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        bytes.truncate(filled);
        Ok(bytes)
    }

    fn stat(&self, path: &str) -> io::Result<Option<Stat>> {
        match std::fs::metadata(self.path(path)) {
            Ok(meta) => Ok(Some(Stat {
                len: meta.len(),
                modified: meta.modified()?,
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let entries = match std::fs::read_dir(self.path(dir)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn write_at(&self, path: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(path);
        let file = with_parents(&path, || {
            OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
        })?;
        file.write_all_at(bytes, offset)
    }

    fn set_len(&self, path: &str, len: u64) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.path(path))?.set_len(len)
    }

    fn touch(&self, path: &str) -> io::Result<()> {
        OpenOptions::new()
            .write(true)
            .open(self.path(path))?
            .set_modified(SystemTime::now())
    }

    fn sync_file(&self, path: &str) -> io::Result<()> {
        File::open(self.path(path))?.sync_data()
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        File::open(self.path(dir))?.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path(from), self.path(to));
        with_parents(&to, || std::fs::rename(&from, &to))
    }

    fn remove_file(&self, path: &str) -> io::Result<()> {
        absent_is_fine(std::fs::remove_file(self.path(path)))
    }

    fn remove_tree(&self, dir: &str) -> io::Result<()> {
        absent_is_fine(std::fs::remove_dir_all(self.path(dir)))
    }

    fn room(&self) -> io::Result<Room> {
        let stats = fs4::statvfs(&self.root)?;
        Ok(Room {
            available: stats.available_space(),
            total: stats.total_space(),
        })
    }
}
