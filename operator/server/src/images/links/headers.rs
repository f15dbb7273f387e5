//! The entries of a layer's tar, as the programs that unpack layers read them. The contents of files are passed over, and
//! what others wrote takes a bounded amount of memory.

use std::io::{ErrorKind, Read};

use super::Bad;
use super::fold::{Entry, Kind};
use super::place::{Place, shown};

const BLOCK: usize = 512;
/// Longest record with names or attributes, as for the programs that unpack layers.
pub const RECORD_BYTES: u64 = 1 << 20;

/// Reads entries.
pub struct Headers<R> {
    input: R,
    scratch: Vec<u8>,
}

/// What records before an entry say about it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Records {
    gnu_name: Option<Vec<u8>>,
    gnu_target: Option<Vec<u8>>,
    sparse_name: Option<Vec<u8>>,
    name: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
    size: Option<u64>,
}

fn bad<T>(what: impl Into<String>) -> Result<T, Bad> {
    Err(Bad(what.into()))
}

impl<R: Read> Headers<R> {
    /// Of an unpacked tar.
    pub fn new(input: R) -> Self {
        let scratch = vec![0; 64 << 10];
        Self { input, scratch }
    }

    /// The next entry; none at the end.
    ///
    /// # Errors
    /// When it is no tar, a record is too long, or reading fails.
    pub fn entry(&mut self) -> Result<Option<Entry>, Bad> {
        let mut records = Records::default();
        let mut block = [0; BLOCK];
        loop {
            if !self.block(&mut block)? {
                return Ok(None);
            }
            if block == [0; BLOCK] {
                if self.block(&mut block)? && block != [0; BLOCK] {
                    return bad("not a tar: there is something after its end");
                }
                return Ok(None);
            }
            let header = tar::Header::from_byte_slice(&block);
            check(header)?;
            let size = header.entry_size().map_err(Bad::from)?;
            match block[156] {
                b'L' => records.gnu_name = Some(self.text(size)?),
                b'K' => records.gnu_target = Some(self.text(size)?),
                b'x' => records.take(&self.record(size)?)?,
                // Of all entries, which have no names in common.
                b'g' => self.skip(size)?,
                kind => {
                    let size = records.size.unwrap_or(size);
                    if let Some(entry) = self.described(header, kind, size, &mut records)? {
                        return Ok(Some(entry));
                    }
                }
            }
        }
    }

    fn described(
        &mut self,
        header: &tar::Header,
        kind: u8,
        size: u64,
        records: &mut Records,
    ) -> Result<Option<Entry>, Bad> {
        let records = std::mem::take(records);
        let name = records.gnu_name.or(records.sparse_name).or(records.name);
        let name = name.unwrap_or_else(|| header.path_bytes().into_owned());
        let target = records.gnu_target.or(records.target);
        let target = || {
            let short = || header.link_name_bytes().unwrap_or_default().into_owned();
            target.unwrap_or_else(short)
        };
        let kind = match kind {
            b'0' | 0 if name.ends_with(b"/") => Kind::Directory,
            b'S' => {
                self.sparse(header)?;
                Kind::Other
            }
            b'0' | 0 | b'7' => Kind::Other,
            b'1' => Kind::Same(target()),
            b'2' => Kind::Link(target()),
            b'3' | b'4' | b'6' => Kind::Other,
            b'5' => Kind::Directory,
            _ => {
                self.skip(size)?;
                return Ok(None);
            }
        };
        // The others have no content, whatever their size says.
        if kind == Kind::Other && !matches!(header.as_bytes()[156], b'3' | b'4' | b'6') {
            self.skip(size)?;
        }
        let place = Place::named(&name)?;
        Ok(Some(Entry { place, kind }))
    }

    /// Passes over the rest of a sparse file's map.
    fn sparse(&mut self, header: &tar::Header) -> Result<(), Bad> {
        let mut more = header.as_gnu().is_some_and(tar::GnuHeader::is_extended);
        while more {
            let mut block = [0; BLOCK];
            if !self.block(&mut block)? {
                return ended();
            }
            more = block[504] == 1;
        }
        Ok(())
    }

    /// A whole block; false at the end.
    fn block(&mut self, block: &mut [u8; BLOCK]) -> Result<bool, Bad> {
        let mut have = 0;
        while have < BLOCK {
            match self.input.read(&mut block[have..]) {
                Ok(0) if have == 0 => return Ok(false),
                Ok(0) => return ended(),
                Ok(read) => have += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    fn record(&mut self, size: u64) -> Result<Vec<u8>, Bad> {
        if size > RECORD_BYTES {
            return bad(format!(
                "a name or the attributes of an entry have more than {RECORD_BYTES} bytes"
            ));
        }
        let mut record = Vec::new();
        (&mut self.input).take(size).read_to_end(&mut record)?;
        if record.len() as u64 != size {
            return ended();
        }
        self.pass(padding(size))?;
        Ok(record)
    }

    fn text(&mut self, size: u64) -> Result<Vec<u8>, Bad> {
        let mut text = self.record(size)?;
        let end = text.iter().position(|byte| *byte == 0);
        text.truncate(end.unwrap_or(text.len()));
        Ok(text)
    }

    fn skip(&mut self, size: u64) -> Result<(), Bad> {
        self.pass(size)?;
        self.pass(padding(size))
    }

    fn pass(&mut self, mut bytes: u64) -> Result<(), Bad> {
        while bytes > 0 {
            let most = usize::try_from(bytes).unwrap_or(usize::MAX);
            let most = most.min(self.scratch.len());
            match self.input.read(&mut self.scratch[..most]) {
                Ok(0) => return ended(),
                Ok(read) => bytes -= read as u64,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

fn ended<T>() -> Result<T, Bad> {
    bad("it ends in the middle")
}

/// Bytes up to the next block.
fn padding(size: u64) -> u64 {
    size.wrapping_neg() % BLOCK as u64
}

/// Compares a header's checksum, of which old programs made another kind.
fn check(header: &tar::Header) -> Result<(), Bad> {
    let bytes = header.as_bytes();
    let sum = bytes[..148].iter().chain(&[b' '; 8]).chain(&bytes[156..]);
    let unsigned: u32 = sum.clone().map(|byte| u32::from(*byte)).sum();
    let signed: i32 = sum.map(|byte| i32::from(byte.cast_signed())).sum();
    match header.cksum() {
        Ok(said) if said == unsigned || i64::from(said) == i64::from(signed) => Ok(()),
        _ => bad("not a tar"),
    }
}

impl Records {
    /// Takes records of the form `LENGTH KEY=VALUE\n`.
    fn take(&mut self, mut rest: &[u8]) -> Result<(), Bad> {
        while !rest.is_empty() {
            let Some((key, value, after)) = one(rest) else {
                return bad("the attributes of an entry cannot be read");
            };
            rest = after;
            let value = (!value.is_empty()).then(|| value.to_vec());
            match key {
                b"path" => self.name = value,
                b"GNU.sparse.name" => self.sparse_name = value,
                b"linkpath" => self.target = value,
                b"size" => {
                    let Some(value) = value else {
                        self.size = None;
                        continue;
                    };
                    let size = std::str::from_utf8(&value)
                        .ok()
                        .and_then(|size| size.parse().ok());
                    let Some(size) = size else {
                        return bad(format!("`{}` is no size", shown(&value)));
                    };
                    self.size = Some(size);
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Key and value of the first record, and the rest.
fn one(records: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let space = records.iter().position(|byte| *byte == b' ')?;
    let length: usize = std::str::from_utf8(&records[..space]).ok()?.parse().ok()?;
    let record = records.get(space + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|byte| *byte == b'=')?;
    Some((&record[..equals], &record[equals + 1..], &records[length..]))
}

#[cfg(test)]
#[path = "headers_tests.rs"]
mod tests;
