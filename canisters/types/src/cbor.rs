//! Deterministic CBOR of values (section 1; RFC 8949 §4.2.1).

use thiserror::Error;

use crate::{
    limits::MAX_DEPTH,
    value::{Map, Value},
};

/// Why bytes are not the deterministic encoding of a value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CborError {
    /// The bytes end inside a value.
    #[error("the bytes end inside a value")]
    Truncated,
    /// There are bytes after the value.
    #[error("{0} bytes follow the value")]
    Trailing(usize),
    /// A head is longer than it needs to be.
    #[error("a length or number at byte {0} is not in its shortest form")]
    NotShortest(usize),
    /// An item has no definite length, or its head is reserved.
    #[error("the head at byte {0} is reserved or of indefinite length")]
    BadHead(usize),
    /// A negative number, tag, float or simple value.
    #[error("the item at byte {at} has major type {major}, which values do not have")]
    NotAValue {
        /// Offset of the item.
        at: usize,
        /// Its CBOR major type.
        major: u8,
    },
    /// Text is not UTF-8.
    #[error("the text at byte {0} is not UTF-8")]
    NotUtf8(usize),
    /// A key of a map is not text.
    #[error("the key at byte {0} is not text")]
    KeyNotText(usize),
    /// Keys are not in ascending order, or one is repeated.
    #[error("the key at byte {0} is repeated or out of order")]
    KeyOrder(usize),
    /// Arrays and maps are nested too deep.
    #[error("arrays and maps are nested deeper than {MAX_DEPTH}")]
    TooDeep,
}

const NAT: u8 = 0;
const BLOB: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;

/// The deterministic encoding of a value (section 1).
pub fn encode(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut out, value);
    out
}

/// The deterministic encoding of a map without taking ownership of it.
pub fn encode_map(map: &Map) -> Vec<u8> {
    let mut out = Vec::new();
    write_map(&mut out, map);
    out
}

/// Reads one value that fills the bytes exactly. Whatever it accepts, [`encode`] writes back byte for byte.
///
/// # Errors
/// [`CborError`] for everything else. Memory is bounded by the input: declared lengths reserve nothing.
pub fn decode(bytes: &[u8]) -> Result<Value, CborError> {
    let (value, rest) = decode_prefix(bytes)?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(CborError::Trailing(rest.len()))
    }
}

/// Reads one value from the front and returns it with the bytes behind it, as a CBOR sequence (section 8) needs.
///
/// # Errors
/// As [`decode`], except that bytes may follow.
pub fn decode_prefix(bytes: &[u8]) -> Result<(Value, &[u8]), CborError> {
    let mut reader = Reader { bytes, at: 0 };
    let value = reader.value(0)?;
    Ok((value, &bytes[reader.at..]))
}

fn write(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Nat(n) => write_head(out, NAT, *n),
        Value::Blob(bytes) => {
            write_head(out, BLOB, bytes.len() as u64);
            out.extend_from_slice(bytes);
        }
        Value::Text(text) => write_text(out, text),
        Value::Array(items) => {
            write_head(out, ARRAY, items.len() as u64);
            for item in items {
                write(out, item);
            }
        }
        Value::Map(map) => write_map(out, map),
    }
}

fn write_map(out: &mut Vec<u8>, map: &Map) {
    write_head(out, MAP, map.len() as u64);
    let mut fields: Vec<(&String, &Value)> = map.iter().collect();
    fields.sort_unstable_by(|(a, _), (b, _)| key_order(a, b));
    for (name, value) in fields {
        write_text(out, name);
        write(out, value);
    }
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    write_head(out, TEXT, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

#[allow(clippy::cast_possible_truncation, reason = "each arm has checked the range")]
fn write_head(out: &mut Vec<u8>, major: u8, n: u64) {
    let top = major << 5;
    match n {
        0..=23 => out.push(top | n as u8),
        24..=0xff => out.extend_from_slice(&[top | 24, n as u8]),
        0x100..=0xffff => {
            out.push(top | 25);
            out.extend_from_slice(&(n as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(top | 26);
            out.extend_from_slice(&(n as u32).to_be_bytes());
        }
        _ => {
            out.push(top | 27);
            out.extend_from_slice(&n.to_be_bytes());
        }
    }
}

/// The byte order of two keys in encoded form: the head comes first, so the shorter key does.
fn key_order(a: &str, b: &str) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes()))
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: u64) -> Result<&'a [u8], CborError> {
        let n = usize::try_from(n).map_err(|_| CborError::Truncated)?;
        let end = self.at.checked_add(n).ok_or(CborError::Truncated)?;
        let taken = self.bytes.get(self.at..end).ok_or(CborError::Truncated)?;
        self.at = end;
        Ok(taken)
    }

    fn head(&mut self) -> Result<(u8, u64), CborError> {
        let at = self.at;
        let first = self.take(1)?[0];
        let (major, info) = (first >> 5, first & 0x1f);
        let (n, least) = match info {
            0..=23 => return Ok((major, u64::from(info))),
            24 => (self.number(1)?, 24),
            25 => (self.number(2)?, 0x100),
            26 => (self.number(4)?, 0x1_0000),
            27 => (self.number(8)?, 0x1_0000_0000),
            _ => return Err(CborError::BadHead(at)),
        };
        if n < least {
            Err(CborError::NotShortest(at))
        } else {
            Ok((major, n))
        }
    }

    fn number(&mut self, width: u64) -> Result<u64, CborError> {
        Ok(self
            .take(width)?
            .iter()
            .fold(0, |n, byte| (n << 8) | u64::from(*byte)))
    }

    fn text(&mut self, at: usize, length: u64) -> Result<String, CborError> {
        let bytes = self.take(length)?;
        std::str::from_utf8(bytes)
            .map(str::to_owned)
            .map_err(|_| CborError::NotUtf8(at))
    }

    fn value(&mut self, depth: usize) -> Result<Value, CborError> {
        let at = self.at;
        let (major, n) = self.head()?;
        match major {
            NAT => Ok(Value::Nat(n)),
            BLOB => Ok(Value::Blob(self.take(n)?.to_vec())),
            TEXT => Ok(Value::Text(self.text(at, n)?)),
            ARRAY | MAP if depth == MAX_DEPTH => Err(CborError::TooDeep),
            ARRAY => {
                let mut items = Vec::new();
                for _ in 0..n {
                    items.push(self.value(depth + 1)?);
                }
                Ok(Value::Array(items))
            }
            MAP => self.map(n, depth + 1).map(Value::Map),
            _ => Err(CborError::NotAValue { at, major }),
        }
    }

    fn map(&mut self, fields: u64, depth: usize) -> Result<Map, CborError> {
        let mut map = Map::new();
        let mut last: Option<String> = None;
        for _ in 0..fields {
            let at = self.at;
            let (major, length) = self.head()?;
            if major != TEXT {
                return Err(CborError::KeyNotText(at));
            }
            let name = self.text(at, length)?;
            if last.as_ref().is_some_and(|last| key_order(last, &name).is_ge()) {
                return Err(CborError::KeyOrder(at));
            }
            let value = self.value(depth)?;
            map.insert(name.clone(), value);
            last = Some(name);
        }
        Ok(map)
    }
}

#[cfg(test)]
mod tests;
