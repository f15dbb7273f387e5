//! Physical changes that are committed together, and their form in the commit log.

use std::io;

use super::disk::Disk;

/// One change of a file. Doing it twice is the same as doing it once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Bytes at an offset; the file ends after them.
    Write {
        /// The file.
        path: String,
        /// Where.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// A whole file, replaced at once.
    Replace {
        /// The file.
        path: String,
        /// Its content.
        bytes: Vec<u8>,
    },
    /// A file goes.
    Remove {
        /// The file.
        path: String,
    },
    /// A directory goes with everything in it.
    RemoveTree {
        /// The directory.
        path: String,
    },
}

impl Op {
    /// The file or directory that it changes.
    pub fn path(&self) -> &str {
        match self {
            Self::Write { path, .. }
            | Self::Replace { path, .. }
            | Self::Remove { path }
            | Self::RemoveTree { path } => path,
        }
    }

    /// It writes nothing.
    pub fn is_removal(&self) -> bool {
        matches!(self, Self::Remove { .. } | Self::RemoveTree { .. })
    }

    /// Bytes that it writes.
    pub fn weight(&self) -> usize {
        match self {
            Self::Write { bytes, .. } | Self::Replace { bytes, .. } => bytes.len(),
            Self::Remove { .. } | Self::RemoveTree { .. } => 0,
        }
    }

    /// Does it, without making it durable.
    ///
    /// # Errors
    /// The effect that failed; doing all of it again is safe.
    pub fn apply(&self, disk: &dyn Disk) -> io::Result<()> {
        match self {
            Self::Write { path, offset, bytes } => {
                disk.write_at(path, *offset, bytes)?;
                let end = offset + bytes.len() as u64;
                if disk.stat(path)?.is_some_and(|stat| stat.len > end) {
                    disk.set_len(path, end)?;
                }
                Ok(())
            }
            Self::Replace { path, bytes } => {
                let new = format!("{path}.new");
                disk.remove_file(&new)?;
                disk.write_at(&new, 0, bytes)?;
                disk.rename(&new, path)
            }
            Self::Remove { path } => disk.remove_file(path),
            Self::RemoveTree { path } => disk.remove_tree(path),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let (tag, offset, bytes): (u8, u64, &[u8]) = match self {
            Self::Write { offset, bytes, .. } => (0, *offset, bytes),
            Self::Replace { bytes, .. } => (1, 0, bytes),
            Self::Remove { .. } => (2, 0, &[]),
            Self::RemoveTree { .. } => (3, 0, &[]),
        };
        let path = self.path().as_bytes();
        out.push(tag);
        out.extend_from_slice(&(path.len() as u64).to_le_bytes());
        out.extend_from_slice(path);
        out.extend_from_slice(&offset.to_le_bytes());
        out.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        out.extend_from_slice(bytes);
    }

    fn decode(input: &mut &[u8]) -> Option<Self> {
        let (&tag, rest) = input.split_first()?;
        *input = rest;
        let path_len = usize::try_from(take_u64(input)?).ok()?;
        let path = String::from_utf8(take(input, path_len)?.to_vec()).ok()?;
        let offset = take_u64(input)?;
        let len = usize::try_from(take_u64(input)?).ok()?;
        let bytes = take(input, len)?.to_vec();
        match tag {
            0 => Some(Self::Write { path, offset, bytes }),
            1 => Some(Self::Replace { path, bytes }),
            2 => Some(Self::Remove { path }),
            3 => Some(Self::RemoveTree { path }),
            _ => None,
        }
    }
}

fn take<'a>(input: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (head, rest) = input.split_at_checked(len)?;
    *input = rest;
    Some(head)
}

fn take_u64(input: &mut &[u8]) -> Option<u64> {
    take(input, 8)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u64::from_le_bytes)
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Appends one record: length, checksum, changes. A record is done wholly or not at all. Without changes there is none: an empty one
/// looks like the end of the log, and hides what is behind it.
pub fn encode_record(ops: &[Op], out: &mut Vec<u8>) {
    if ops.is_empty() {
        return;
    }
    let start = out.len();
    out.extend_from_slice(&[0; 12]);
    for op in ops {
        op.encode(out);
    }
    let len = (out.len() - start - 12) as u64;
    let sum = crc(&out[start + 12..]);
    out[start..start + 8].copy_from_slice(&len.to_le_bytes());
    out[start + 8..start + 12].copy_from_slice(&sum.to_le_bytes());
}

/// Takes the next whole record, or nothing at a torn or absent one.
pub fn decode_record(input: &mut &[u8]) -> Option<Vec<Op>> {
    let mut rest = *input;
    let len = usize::try_from(take_u64(&mut rest)?).ok()?;
    let sum = take(&mut rest, 4)
        .and_then(|b| b.try_into().ok())
        .map(u32::from_le_bytes)?;
    let mut body = take(&mut rest, len)?;
    if len == 0 || crc(body) != sum {
        return None;
    }
    let mut ops = Vec::new();
    while !body.is_empty() {
        ops.push(Op::decode(&mut body)?);
    }
    *input = rest;
    Some(ops)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<Op> {
        vec![
            Op::Write {
                path: "a/b".into(),
                offset: 7,
                bytes: b"xyz".to_vec(),
            },
            Op::Replace {
                path: "c".into(),
                bytes: vec![0; 100],
            },
            Op::Remove { path: "d".into() },
            Op::RemoveTree { path: "e/f".into() },
        ]
    }

    #[test]
    fn records_come_back_as_written() {
        let mut log = Vec::new();
        encode_record(&sample(), &mut log);
        encode_record(&sample()[..1], &mut log);
        let mut input = log.as_slice();
        assert_eq!(decode_record(&mut input), Some(sample()));
        assert_eq!(decode_record(&mut input), Some(sample()[..1].to_vec()));
        assert_eq!(decode_record(&mut input), None);
    }

    #[test]
    fn nothing_changed_hides_no_record_behind_it() {
        let mut log = Vec::new();
        encode_record(&[], &mut log);
        encode_record(&sample(), &mut log);
        assert_eq!(decode_record(&mut log.as_slice()), Some(sample()));
    }

    #[test]
    fn a_record_cut_or_changed_anywhere_is_not_taken() {
        let mut log = Vec::new();
        encode_record(&sample(), &mut log);
        for cut in 0..log.len() {
            assert_eq!(decode_record(&mut &log[..cut]), None, "cut at {cut}");
        }
        for at in 8..log.len() {
            let mut changed = log.clone();
            changed[at] ^= 1;
            assert_eq!(decode_record(&mut changed.as_slice()), None, "changed at {at}");
        }
        assert_eq!(decode_record(&mut [0_u8; 64].as_slice()), None, "zeros");
    }
}
