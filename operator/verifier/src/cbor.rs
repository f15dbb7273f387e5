//! Reader for the CBOR of certificates, witnesses and canister ranges.
//!
//! Hardened: shortest heads and definite lengths only, so that no byte of the evidence has a second spelling; nothing
//! is allocated from a length that the input does not hold. Values of the ledger itself are read by `dcanary-types`.

use thiserror::Error;

/// Self-describe tag of RFC 8949 section 3.4.6, encoded.
pub(crate) const SELF_DESCRIBED: [u8; 3] = [0xd9, 0xd9, 0xf7];

/// Why bytes are not the CBOR that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CborError {
    /// The input ends inside an item.
    #[error("the input ends inside an item")]
    EndsTooEarly,
    /// Bytes follow the last item.
    #[error("bytes follow the last item")]
    TrailingBytes,
    /// A length or number is not in its shortest form, or of indefinite length.
    #[error("a head is not the shortest of definite length")]
    NotShortest,
    /// Another type, field or length than the format has here.
    #[error("expected {0}")]
    Expected(&'static str),
    /// Deeper than any certificate of the network.
    #[error("nested too deep")]
    TooDeep,
}

/// Cursor over the input.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads `bytes` from the start, skipping a self-describe tag.
    pub(crate) fn tagged(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes.strip_prefix(&SELF_DESCRIBED).unwrap_or(bytes),
        }
    }

    /// Refuses whatever is left.
    pub(crate) fn end(&self) -> Result<(), CborError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(CborError::TrailingBytes)
        }
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], CborError> {
        let len = usize::try_from(len).map_err(|_| CborError::EndsTooEarly)?;
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(CborError::EndsTooEarly)?;
        self.rest = rest;
        Ok(taken)
    }

    fn head(&mut self) -> Result<(u8, u64), CborError> {
        let first = *self.take(1)?.first().ok_or(CborError::EndsTooEarly)?;
        let (major, info) = (first >> 5, first & 31);
        let (len, least) = match info {
            0..24 => return Ok((major, u64::from(info))),
            24 => (1, 24),
            25 => (2, 1 << 8),
            26 => (4, 1 << 16),
            27 => (8, 1 << 32),
            _ => return Err(CborError::NotShortest),
        };
        let value = self.take(len)?.iter().fold(0u64, |n, b| n << 8 | u64::from(*b));
        if value < least {
            Err(CborError::NotShortest)
        } else {
            Ok((major, value))
        }
    }

    fn expect(&mut self, major: u8, what: &'static str) -> Result<u64, CborError> {
        match self.head()? {
            (found, value) if found == major => Ok(value),
            _ => Err(CborError::Expected(what)),
        }
    }

    /// An unsigned number.
    pub(crate) fn uint(&mut self, what: &'static str) -> Result<u64, CborError> {
        self.expect(0, what)
    }

    /// A byte string.
    pub(crate) fn bytes(&mut self, what: &'static str) -> Result<&'a [u8], CborError> {
        let len = self.expect(2, what)?;
        self.take(len)
    }

    /// A text string.
    pub(crate) fn text(&mut self, what: &'static str) -> Result<&'a str, CborError> {
        let len = self.expect(3, what)?;
        std::str::from_utf8(self.take(len)?).map_err(|_| CborError::Expected(what))
    }

    /// The length of an array whose items follow.
    pub(crate) fn array(&mut self, what: &'static str) -> Result<u64, CborError> {
        self.expect(4, what)
    }

    /// The length of a map whose keys and values follow.
    pub(crate) fn map(&mut self, what: &'static str) -> Result<u64, CborError> {
        self.expect(5, what)
    }
}

/// Reads unsigned LEB128 of at most 64 bits in its shortest form.
///
/// # Errors
/// [`CborError::NotShortest`] for padded numbers, [`CborError::Expected`] for anything else.
pub fn leb128_u64(bytes: &[u8]) -> Result<u64, CborError> {
    const WHAT: CborError = CborError::Expected("an unsigned LEB128 number of 64 bits");
    let (last, _) = bytes.split_last().ok_or(WHAT)?;
    if bytes.len() > 10 || last & 0x80 != 0 {
        return Err(WHAT);
    }
    if bytes.len() > 1 && *last == 0 {
        return Err(CborError::NotShortest);
    }
    let mut value = 0u64;
    for (i, byte) in bytes.iter().enumerate() {
        let bits = u64::from(byte & 0x7f);
        if (i + 1 < bytes.len()) != (byte & 0x80 != 0) || (i == 9 && bits > 1) {
            return Err(WHAT);
        }
        value |= bits << (7 * i);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leb128_accepts_the_whole_range_and_refuses_every_other_spelling() {
        assert_eq!(leb128_u64(&[0]), Ok(0));
        assert_eq!(leb128_u64(&[0xe5, 0x8e, 0x26]), Ok(624_485));
        assert_eq!(
            leb128_u64(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
            Ok(u64::MAX)
        );
        for bad in [
            &[][..],
            &[0x80],
            &[0x80, 0],
            &[0, 0],
            &[0xff; 11],
            &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2],
        ] {
            assert!(leb128_u64(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn heads_that_are_not_the_shortest_are_refused() {
        assert_eq!(Reader::tagged(&[0x18, 23]).uint("n"), Err(CborError::NotShortest));
        assert_eq!(
            Reader::tagged(&[0x19, 0, 255]).uint("n"),
            Err(CborError::NotShortest)
        );
        assert_eq!(
            Reader::tagged(&[0x5f, 0xff]).bytes("b"),
            Err(CborError::NotShortest)
        );
        assert_eq!(Reader::tagged(&[0xd9, 0xd9, 0xf7, 0x18, 24]).uint("n"), Ok(24));
    }

    #[test]
    fn a_length_beyond_the_input_is_refused_without_allocating() {
        let huge = [0x5b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        assert_eq!(Reader::tagged(&huge).bytes("b"), Err(CborError::EndsTooEarly));
    }
}
