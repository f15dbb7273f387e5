//! An archive that exists only as a list of entries; any part of its bytes can be read again, which resumed uploads need.

use std::fs::File;
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

use nix::fcntl::OFlag;
use sha2::{Digest, Sha256};

use super::header::{BLOCK, Meta};
use crate::interrupt::Interrupt;

/// Two empty blocks end an archive.
const END: u64 = 2 * BLOCK as u64;

/// Bytes from somewhere.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    Bytes(Arc<[u8]>),
    /// A plain file of this length.
    File {
        path: PathBuf,
        length: u64,
    },
    Archive(Arc<Archive>),
}

impl Body {
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
            Self::Archive(archive) => archive.length,
        }
    }

    /// SHA-256 of everything, which may take long.
    pub(crate) fn digest(&self, interrupt: &Interrupt) -> Result<String> {
        let mut reader = Reader::new(self.clone());
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        let mut at = 0;
        loop {
            interrupt.check().map_err(Error::other)?;
            let read = reader.read_at(at, &mut buffer)?;
            if read == 0 {
                return Ok(hex::encode(hash.finalize()));
            }
            hash.update(&buffer[..read]);
            at += read as u64;
        }
    }
}

/// One entry.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) meta: Meta,
    pub(crate) body: Body,
}

impl Entry {
    /// An entry without content.
    pub(crate) fn empty(meta: Meta) -> Self {
        Self {
            meta,
            body: Body::Bytes(Arc::from([])),
        }
    }

    fn length(&self) -> u64 {
        self.meta.length() + self.body.length().next_multiple_of(BLOCK as u64)
    }
}

/// A list of entries in the order of the archive.
#[derive(Debug)]
pub(crate) struct Archive {
    entries: Vec<Entry>,
    /// Where each entry begins.
    starts: Vec<u64>,
    end: u64,
    length: u64,
}

impl Archive {
    pub(crate) fn new(entries: Vec<Entry>) -> Self {
        let mut end = 0;
        let starts = entries
            .iter()
            .map(|entry| {
                let start = end;
                end += entry.length();
                start
            })
            .collect();
        Self {
            entries,
            starts,
            end,
            length: end + END,
        }
    }
}

/// Reads a body at any place; keeps the last file open.
#[derive(Debug)]
pub(crate) struct Reader {
    body: Body,
    file: Option<File>,
    inner: Option<(usize, Box<Reader>)>,
}

impl Reader {
    pub(crate) fn new(body: Body) -> Self {
        Self {
            body,
            file: None,
            inner: None,
        }
    }

    /// Fills the buffer from `at` on, up to the end of the body.
    pub(crate) fn read_at(&mut self, at: u64, buffer: &mut [u8]) -> Result<usize> {
        let left = usize::try_from(self.body.length().saturating_sub(at)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let buffer = &mut buffer[..wanted];
        match self.body.clone() {
            Body::Bytes(bytes) => {
                let from = usize::try_from(at).map_err(Error::other)?;
                buffer.copy_from_slice(bytes.get(from..from + wanted).ok_or(ErrorKind::UnexpectedEof)?);
            }
            Body::File { path, length } => {
                if self.file.is_none() {
                    self.file = Some(open(&path, length)?);
                }
                if let Some(file) = &self.file {
                    file.read_exact_at(buffer, at)
                        .map_err(|error| match error.kind() {
                            ErrorKind::UnexpectedEof => changed(&path),
                            _ => error,
                        })?;
                }
            }
            Body::Archive(archive) => self.read_archive(&archive, at, buffer)?,
        }
        Ok(wanted)
    }

    fn read_archive(&mut self, archive: &Archive, mut at: u64, mut buffer: &mut [u8]) -> Result<()> {
        while !buffer.is_empty() {
            if at >= archive.end {
                buffer.fill(0);
                return Ok(());
            }
            let number = archive.starts.partition_point(|&start| start <= at) - 1;
            let entry = &archive.entries[number];
            let inside = at - archive.starts[number];
            let (head, size) = (entry.meta.length(), entry.body.length());
            let read = if inside < head {
                let header = entry.meta.write(size);
                let rest = &header[usize::try_from(inside).map_err(Error::other)?..];
                let read = rest.len().min(buffer.len());
                buffer[..read].copy_from_slice(&rest[..read]);
                read
            } else if inside < head + size {
                if self.inner.as_ref().is_none_or(|(open, _)| *open != number) {
                    self.inner = Some((number, Box::new(Self::new(entry.body.clone()))));
                }
                match &mut self.inner {
                    Some((_, reader)) => reader.read_at(inside - head, buffer)?,
                    None => 0,
                }
            } else {
                let padding = entry.length() - inside;
                let read = usize::try_from(padding).map_err(Error::other)?.min(buffer.len());
                buffer[..read].fill(0);
                read
            };
            at += read as u64;
            buffer = &mut buffer[read..];
        }
        Ok(())
    }
}

/// Opens a plain file that was found before; whatever took its place meanwhile is refused.
fn open(path: &PathBuf, length: u64) -> Result<File> {
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let file = std::fs::OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits())
        .open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() && metadata.len() == length {
        Ok(file)
    } else {
        Err(changed(path))
    }
}

fn changed(path: &std::path::Path) -> Error {
    Error::other(format!("`{}` changed while it was stored", path.display()))
}
