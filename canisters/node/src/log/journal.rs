//! The write side of the log.
//!
//! A record is written, and then synced. There are two ways in which that fails, and they must not be mixed up: the disk is full (nothing was
//! accepted, the record is undone, the node goes on), which only writing says; or anything else, above all a failed sync, after which nobody
//! knows what is on the disk: the journal is broken and the process must end. So whoever has a written record gets it synced, or ends.

use super::codec::Entry;
use super::disk::{Disk, DiskFile};
use super::frame::{SEGMENT_HEADER, SegmentHeader};
use crate::wire::hash::Hash;
use rand::RngCore;
use std::io;
use std::sync::Arc;
use thiserror::Error;

/// Why a batch was not accepted.
#[derive(Debug, Error)]
pub enum AppendError {
    /// No room, or no room for another open file. Nothing was written; the next attempt may succeed.
    #[error("the storage is full")]
    Full(#[source] io::Error),
    /// The log can no longer be trusted.
    #[error("the log cannot be written")]
    Broken(#[source] io::Error),
    /// A batch beyond 4 GiB.
    #[error("the batch is too large for one record")]
    TooLarge,
}

/// See the module documentation.
#[derive(Debug)]
pub struct Journal {
    disk: Arc<dyn Disk>,
    fingerprint: Hash,
    segment: Option<Segment>,
    /// Whether a record is written and not synced.
    pending: bool,
    broken: bool,
}

/// What [`Journal::sync`] gives: everything that was written before is there to stay. Who asks for it cannot show more.
#[derive(Debug)]
#[must_use]
pub struct Synced(());

impl Synced {
    /// That of a node that keeps nothing, and so loses nothing that was shown.
    pub fn nothing_is_kept() -> Self {
        Self(())
    }
}

#[derive(Debug)]
struct Segment {
    header: SegmentHeader,
    file: Box<dyn DiskFile>,
    len: u64,
}

/// The file name of the segment whose first record is of a round.
pub fn segment_name(first_round: u64) -> String {
    format!("log-{first_round:016x}")
}

/// The first round of a segment by its file name.
pub fn segment_round(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_prefix("log-")?, 16).ok()
}

fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
    )
}

/// Whether the process or the system has no room for another open file. Only opening one says so, so that nothing was done.
fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

impl Journal {
    /// A journal that begins a new segment with its first record.
    pub fn new(disk: Arc<dyn Disk>, fingerprint: Hash) -> Self {
        Self {
            disk,
            fingerprint,
            segment: None,
            pending: false,
            broken: false,
        }
    }

    /// Bytes in the current segment, with what is not synced yet.
    pub fn segment_len(&self) -> u64 {
        self.segment.as_ref().map_or(0, |segment| segment.len)
    }

    /// Ends the current segment; the next record begins another.
    pub fn rotate(&mut self) {
        self.segment = None;
    }

    /// Writes a record and syncs it.
    #[cfg(test)]
    pub fn append(&mut self, entry: &Entry) -> Result<(), AppendError> {
        self.write(entry)?;
        self.sync().map(drop)
    }

    /// Writes a record, which has to be synced before the next one is written: a crash damages at most the last record because of that.
    pub fn write(&mut self, entry: &Entry) -> Result<(), AppendError> {
        self.unless_broken(|journal| {
            if journal.pending {
                let error = io::Error::other("the record before is not synced");
                return Err(AppendError::Broken(error));
            }
            journal.try_write(entry)?;
            journal.pending = true;
            Ok(())
        })
    }

    /// Syncs what was written.
    pub fn sync(&mut self) -> Result<Synced, AppendError> {
        self.unless_broken(|journal| {
            if let Some(segment) = &mut journal.segment {
                // Whatever sync says, "full" included, the data may be lost while the file seems whole: never try again.
                segment.file.sync().map_err(AppendError::Broken)?;
            }
            journal.pending = false;
            Ok(Synced(()))
        })
    }

    fn unless_broken<T>(
        &mut self,
        action: impl FnOnce(&mut Self) -> Result<T, AppendError>,
    ) -> Result<T, AppendError> {
        if self.broken {
            return Err(AppendError::Broken(io::Error::other("an earlier write failed")));
        }
        let result = action(self);
        self.broken |= matches!(result, Err(AppendError::Broken(_)));
        result
    }

    fn try_write(&mut self, entry: &Entry) -> Result<(), AppendError> {
        let mut segment = match self.segment.take() {
            Some(segment) => segment,
            None => self.begin(entry.batch.round)?,
        };
        let frame = segment
            .header
            .frame(entry.batch.round, &entry.encode())
            .ok_or(AppendError::TooLarge)?;
        if let Err(error) = segment.file.write(&frame) {
            if !is_full(&error) {
                return Err(AppendError::Broken(error));
            }
            // Take back what was written of it, durably: otherwise a crash during the next record could leave the end
            // of this one behind the beginning of that one, which looks like damage to a synced record.
            segment.file.truncate(segment.len).map_err(AppendError::Broken)?;
            segment.file.sync().map_err(AppendError::Broken)?;
            self.segment = Some(segment);
            return Err(AppendError::Full(error));
        }
        segment.len += frame.len() as u64;
        self.segment = Some(segment);
        Ok(())
    }

    fn begin(&self, first_round: u64) -> Result<Segment, AppendError> {
        let mut salt = [0; 16];
        rand::rng().fill_bytes(&mut salt);
        let header = SegmentHeader {
            salt,
            fingerprint: self.fingerprint,
            first_round,
        };
        let name = segment_name(first_round);
        let classify = |error: io::Error| {
            if is_full(&error) || is_exhausted(&error) {
                AppendError::Full(error)
            } else {
                AppendError::Broken(error)
            }
        };
        let mut file = self.disk.create(&name).map_err(classify)?;
        if let Err(error) = file.write(&header.encode()) {
            // A segment without a sound header has no records; starting removes it if this does not.
            let _ = self.disk.remove(&name);
            return Err(classify(error));
        }
        file.sync().map_err(AppendError::Broken)?;
        if let Err(error) = self.disk.sync_dir() {
            // Opening the folder failed, and not the sync. The file has no record, and is emptied or removed like one above.
            return Err(if is_exhausted(&error) {
                AppendError::Full(error)
            } else {
                AppendError::Broken(error)
            });
        }
        Ok(Segment {
            header,
            file,
            len: SEGMENT_HEADER as u64,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::log::crash::disk::FaultyDisk;
    use crate::log::crash::entry;
    use std::io::Read;
    use std::sync::atomic::{AtomicI32, Ordering};

    /// A disk on which opening a file to write it, or the folder, fails with a number.
    #[derive(Debug)]
    struct Exhausted {
        disk: FaultyDisk,
        create: AtomicI32,
        folder: AtomicI32,
    }

    fn failing(number: &AtomicI32) -> io::Result<()> {
        match number.load(Ordering::Relaxed) {
            0 => Ok(()),
            number => Err(io::Error::from_raw_os_error(number)),
        }
    }

    impl Disk for Exhausted {
        fn list(&self) -> io::Result<Vec<String>> {
            self.disk.list()
        }
        fn open(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
            self.disk.open(name)
        }
        fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
            failing(&self.create)?;
            self.disk.create(name)
        }
        fn append(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
            self.disk.append(name)
        }
        fn overwrite(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
            self.disk.overwrite(name, bytes)
        }
        fn rename(&self, from: &str, to: &str) -> io::Result<()> {
            self.disk.rename(from, to)
        }
        fn remove(&self, name: &str) -> io::Result<()> {
            self.disk.remove(name)
        }
        fn sync_dir(&self) -> io::Result<()> {
            failing(&self.folder)?;
            self.disk.sync_dir()
        }
    }

    #[test]
    fn no_record_is_written_behind_one_that_is_not_synced() {
        let disk = FaultyDisk::new(1);
        let mut journal = Journal::new(Arc::new(disk.clone()), [0; 32]);
        journal.write(&entry(1, vec![])).unwrap();
        let operations = disk.operations();
        let refused = journal.write(&entry(2, vec![])).unwrap_err();
        assert!(matches!(refused, AppendError::Broken(_)), "{refused}");
        assert_eq!(disk.operations(), operations);
    }

    #[test]
    fn without_open_files_nothing_is_logged_and_the_log_goes_on_when_there_are_some() {
        let disk = Arc::new(Exhausted {
            disk: FaultyDisk::new(1),
            create: AtomicI32::new(0),
            folder: AtomicI32::new(0),
        });
        let mut journal = Journal::new(disk.clone(), [0; 32]);
        for (failing, number) in [(&disk.create, libc::EMFILE), (&disk.folder, libc::ENFILE)] {
            failing.store(number, Ordering::Relaxed);
            let refused = journal.append(&entry(1, vec![])).unwrap_err();
            assert!(matches!(refused, AppendError::Full(_)), "{refused}");
            failing.store(0, Ordering::Relaxed);
        }
        journal.append(&entry(1, vec![])).unwrap();
        journal.rotate();
        // Any other failure to open one is the end.
        disk.create.store(libc::EIO, Ordering::Relaxed);
        let broken = journal.append(&entry(2, vec![])).unwrap_err();
        assert!(matches!(broken, AppendError::Broken(_)), "{broken}");
    }
}
