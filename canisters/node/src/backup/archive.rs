//! The tar file of a backup while it is written: what cannot be read is told apart from what cannot be written.

use super::sums::{SUMS, Sums};
use std::io::{self, Read, Write};

/// Why an entry is not in the archive.
#[derive(Debug)]
pub enum EntryError {
    /// What it is made of cannot be read, or ends before its length.
    Read(io::Error),
    /// The archive cannot be written.
    Write(io::Error),
}

/// An archive with the sums of its entries.
pub struct Archive<W: Write> {
    tar: tar::Builder<W>,
    sums: Sums,
}

impl<W: Write> Archive<W> {
    /// An empty one.
    pub fn new(output: W) -> Self {
        Self {
            tar: tar::Builder::new(output),
            sums: Sums::default(),
        }
    }

    /// Adds an entry of so many bytes.
    ///
    /// # Errors
    /// When it cannot be read whole, or the archive not be written.
    pub fn add(&mut self, name: &str, len: u64, bytes: impl Read) -> Result<(), EntryError> {
        let mut header = tar::Header::new_gnu();
        header.set_size(len);
        header.set_mode(0o600);
        header.set_cksum();
        let mut bytes = Sums::of(Whole {
            input: bytes.take(len),
            left: len,
            failed: None,
        });
        let added = self.tar.append_data(&mut header, name, &mut bytes);
        let (input, sum) = bytes.end();
        match (input.failed, added) {
            (Some(error), _) => Err(EntryError::Read(error)),
            (None, Err(error)) => Err(EntryError::Write(error)),
            (None, Ok(())) => {
                self.sums.note(name, sum);
                Ok(())
            }
        }
    }

    /// Adds the sums and ends the archive.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<W, EntryError> {
        let sums = self.sums.text();
        self.add(SUMS, sums.len() as u64, sums.as_bytes())?;
        let mut output = self.tar.into_inner().map_err(EntryError::Write)?;
        output.flush().map_err(EntryError::Write)?;
        Ok(output)
    }
}

/// What is to have a length, and remembers what went wrong with it: to the archive it looks like an error of its own.
struct Whole<R> {
    input: R,
    left: u64,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Whole<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let error = match self.input.read(buffer) {
            // asked with an empty buffer nothing was to come
            Ok(0) if self.left > 0 && !buffer.is_empty() => io::Error::new(
                io::ErrorKind::UnexpectedEof,
                format!("it became {} bytes shorter while it was read", self.left),
            ),
            Ok(read) => {
                self.left = self.left.saturating_sub(read as u64);
                return Ok(read);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => error,
        };
        let kind = error.kind();
        self.failed = Some(error);
        Err(kind.into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct Fails(io::ErrorKind);

    impl Read for Fails {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
    }

    impl Write for Fails {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_entry_that_cannot_be_read_is_told_apart_from_an_archive_that_cannot_be_written() {
        let unread = Archive::new(Vec::new()).add("a", 3, Fails(io::ErrorKind::PermissionDenied));
        assert!(
            matches!(&unread, Err(EntryError::Read(error)) if error.kind() == io::ErrorKind::PermissionDenied),
            "{unread:?}"
        );
        let unwritten = Archive::new(Fails(io::ErrorKind::StorageFull)).add("a", 3, &b"abc"[..]);
        assert!(
            matches!(&unwritten, Err(EntryError::Write(error)) if error.kind() == io::ErrorKind::StorageFull),
            "{unwritten:?}"
        );
    }

    #[test]
    fn an_entry_that_became_shorter_is_no_entry_and_one_that_grew_is_cut() {
        let mut archive = Archive::new(Vec::new());
        let short = archive.add("a", 4, &b"abc"[..]);
        assert!(
            matches!(&short, Err(EntryError::Read(error)) if error.to_string().contains("1 bytes shorter")),
            "{short:?}"
        );
        let mut archive = Archive::new(Vec::new());
        archive.add("a", 2, &b"abc"[..]).unwrap();
        let written = archive.finish().unwrap();
        let mut read = tar::Archive::new(written.as_slice());
        let mut entries = read.entries().unwrap();
        let mut text = String::new();
        entries
            .next()
            .unwrap()
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text, "ab");
    }
}
