//! Frames around the records of a log segment, and the decision what a damaged one means.
//!
//! The writer has one record in flight at most: it writes the next one only after the one before is synced. So a crash
//! can damage only the last record, which nobody was answered for. Damage before that is not a crash, and the node must
//! not start as if the lost batches had never been.
//!
//! Every check sum covers random bytes of the segment, so that no message can contain what looks like a record.

use crate::wire::hash::Hash;
use sha2::{Digest, Sha256};

/// Bytes of a segment's header: magic, salt, fingerprint, first round, check sum.
pub const SEGMENT_HEADER: usize = 8 + 16 + 32 + 8 + 16;
const SEGMENT_MAGIC: &[u8; 8] = b"DCNLOG1\n";
const RECORD_MAGIC: [u8; 4] = *b"DREC";
/// Bytes before a payload: magic, length, round, check sum.
const RECORD_HEADER: usize = 4 + 4 + 8 + 8;
/// Bytes after a payload: its check sum.
const RECORD_TRAILER: usize = 16;

/// What a segment says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Random bytes.
    pub salt: [u8; 16],
    /// The semantics of all its records.
    pub fingerprint: Hash,
    /// The round of its first record.
    pub first_round: u64,
}

fn checksum<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    let hash: Hash = hasher.finalize().into();
    std::array::from_fn(|at| hash[at])
}

impl SegmentHeader {
    /// Writes the header.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEGMENT_HEADER);
        out.extend_from_slice(SEGMENT_MAGIC);
        out.extend_from_slice(&self.salt);
        out.extend_from_slice(&self.fingerprint);
        out.extend_from_slice(&self.first_round.to_le_bytes());
        let sum: [u8; 16] = checksum(&[&out]);
        out.extend_from_slice(&sum);
        out
    }

    /// Reads a header; `None` when it is damaged.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (covered, sum) = bytes.get(..SEGMENT_HEADER)?.split_at(SEGMENT_HEADER - 16);
        if checksum::<16>(&[covered]) != sum || !covered.starts_with(SEGMENT_MAGIC) {
            return None;
        }
        Some(Self {
            salt: covered[8..24].try_into().ok()?,
            fingerprint: covered[24..56].try_into().ok()?,
            first_round: u64::from_le_bytes(covered[56..64].try_into().ok()?),
        })
    }

    /// Frames a payload.
    pub fn frame(&self, round: u64, payload: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::with_capacity(RECORD_HEADER + payload.len() + RECORD_TRAILER);
        out.extend_from_slice(&RECORD_MAGIC);
        out.extend_from_slice(&u32::try_from(payload.len()).ok()?.to_le_bytes());
        out.extend_from_slice(&round.to_le_bytes());
        let sum: [u8; 8] = checksum(&[&self.salt, b"head", &out]);
        out.extend_from_slice(&sum);
        let sum: [u8; 16] = checksum(&[&self.salt, b"body", &out, payload]);
        out.extend_from_slice(payload);
        out.extend_from_slice(&sum);
        Some(out)
    }

    /// The length of the payload and the round, when a sound record header starts here.
    fn record_header(&self, bytes: &[u8]) -> Option<(usize, u64)> {
        let (covered, sum) = bytes.get(..RECORD_HEADER)?.split_at(RECORD_HEADER - 8);
        if !covered.starts_with(&RECORD_MAGIC) || checksum::<8>(&[&self.salt, b"head", covered]) != sum {
            return None;
        }
        let len = u32::from_le_bytes(covered[4..8].try_into().ok()?);
        Some((len as usize, u64::from_le_bytes(covered[8..16].try_into().ok()?)))
    }

    /// Reads the record at the start of `bytes`.
    pub fn next<'a>(&self, bytes: &'a [u8]) -> Next<'a> {
        if bytes.is_empty() {
            return Next::End;
        }
        let Some((len, round)) = self.record_header(bytes) else {
            // The header itself is damaged. A later sound header proves that this record was synced once.
            let later = (1..bytes.len()).any(|at| {
                bytes[at..].starts_with(&RECORD_MAGIC) && self.record_header(&bytes[at..]).is_some()
            });
            return if later { Next::Corrupt } else { Next::Torn };
        };
        let end = RECORD_HEADER + len + RECORD_TRAILER;
        if let Some(record) = bytes.get(..end) {
            let (head, rest) = record.split_at(RECORD_HEADER);
            let (payload, sum) = rest.split_at(len);
            if checksum::<16>(&[&self.salt, b"body", head, payload]) == sum {
                return Next::Record { round, payload, end };
            }
        }
        // Bytes after its end were written after it was synced.
        if bytes.len() > end {
            Next::Corrupt
        } else {
            Next::Torn
        }
    }
}

/// What is at a place of a segment.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<'a> {
    /// A sound record.
    Record {
        /// Its round.
        round: u64,
        /// Its payload.
        payload: &'a [u8],
        /// How many bytes it takes.
        end: usize,
    },
    /// The end of the segment.
    End,
    /// A record that was being written when the node crashed. Nobody was answered for it.
    Torn,
    /// A damaged record that was synced once.
    Corrupt,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn segment() -> SegmentHeader {
        SegmentHeader {
            salt: [7; 16],
            fingerprint: [1; 32],
            first_round: 1,
        }
    }

    proptest! {
        #[test]
        fn any_damage_to_a_record_with_a_successor_is_corruption(at in 0usize..148, flip in 1u8..) {
            let header = segment();
            let mut bytes = header.frame(1, &[9; 100]).unwrap();
            let first = bytes.len();
            bytes.extend(header.frame(2, b"two").unwrap());
            let at = at % first;
            bytes[at] ^= flip;
            prop_assert_eq!(header.next(&bytes), Next::Corrupt);
        }

        #[test]
        fn any_damage_to_the_last_record_is_a_torn_write(at in 0usize..148, flip in 1u8.., cut in 0usize..148) {
            let header = segment();
            let whole = header.frame(1, &[9; 100]).unwrap();
            let mut bytes = whole.clone();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            prop_assert_eq!(header.next(&bytes), Next::Torn);
            let cut = cut % whole.len();
            prop_assert_eq!(header.next(&whole[..cut]), if cut == 0 { Next::End } else { Next::Torn });
        }
    }

    #[test]
    fn a_record_inside_a_message_does_not_count() {
        let header = segment();
        let other = SegmentHeader {
            salt: [8; 16],
            ..header
        };
        let forged = other.frame(2, b"forged").unwrap();
        let mut bytes = header.frame(1, &forged).unwrap();
        bytes[0] ^= 1;
        assert_eq!(header.next(&bytes), Next::Torn);
    }

    #[test]
    fn a_header_is_read_back_and_a_damaged_one_is_not() {
        let mut bytes = segment().encode();
        assert_eq!(bytes.len(), SEGMENT_HEADER);
        assert_eq!(SegmentHeader::decode(&bytes), Some(segment()));
        bytes[30] ^= 1;
        assert_eq!(SegmentHeader::decode(&bytes), None);
    }
}
