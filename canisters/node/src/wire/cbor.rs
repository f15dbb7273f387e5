//! A strict, bounded reader and writer for the subset of CBOR that the IC's HTTPS interface uses.
//!
//! Requests are hashed as they were sent, unknown fields included, so they are kept as a plain [`Value`] and never
//! decoded into fixed structures first. The reader borrows from the body and refuses what could make a small body
//! expensive: deep nesting, too many items, lengths beyond the input, floats, chunked strings, repeated keys.
//!
//! Source: IC interface specification, "CBOR encoding of requests and responses".

use crate::faults::{Fault, broken};
use thiserror::Error;

/// How deep arrays and maps may nest. A delegation with targets needs five levels.
const MAX_DEPTH: usize = 12;
/// How many values one body may hold: 1,000 paths of 127 labels, and some for the rest.
const MAX_ITEMS: usize = 160_000;
/// The self-describing tag that may precede a message (RFC 8949, 3.4.6).
const SELF_DESCRIBED: u64 = 55_799;

/// Why a body is not acceptable CBOR.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum CborError {
    /// The input ends inside a value.
    #[error("the CBOR input ends early")]
    Truncated,
    /// Bytes follow the value.
    #[error("{0} bytes follow the CBOR value")]
    Trailing(usize),
    /// Arrays or maps nest too deep.
    #[error("the CBOR value nests deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// More values than any request needs.
    #[error("the CBOR value holds more than {MAX_ITEMS} items")]
    TooManyItems,
    /// A CBOR feature that no request uses.
    #[error("unsupported CBOR item 0x{0:02x}")]
    Unsupported(u8),
    /// A map key that is not text.
    #[error("a CBOR map key is not a text string")]
    KeyNotText,
    /// The same key twice in one map.
    #[error("the CBOR map key `{0}` appears twice")]
    RepeatedKey(String),
    /// A text string that is not UTF-8.
    #[error("a CBOR text string is not valid UTF-8")]
    NotUtf8,
}

/// A decoded value; strings borrow from the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// An unsigned integer.
    Uint(u64),
    /// A byte string.
    Bytes(&'a [u8]),
    /// A text string.
    Text(&'a str),
    /// An array.
    Array(Vec<Value<'a>>),
    /// A map with text keys, in the order sent.
    Map(Vec<(&'a str, Value<'a>)>),
    /// `false`, `true`.
    Bool(bool),
    /// `null` or `undefined`.
    Null,
}

impl<'a> Value<'a> {
    /// Reads exactly one value, with or without the self-describing tag.
    pub fn decode(input: &'a [u8]) -> Result<Self, CborError> {
        let mut reader = Reader {
            input,
            at: 0,
            items: 0,
        };
        let value = reader.value(0, true)?;
        let rest = input.len() - reader.at;
        if rest > 0 && !broken(Fault::LaxCbor) {
            return Err(CborError::Trailing(rest));
        }
        Ok(value)
    }

    /// Writes the value after the self-describing tag.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        if !broken(Fault::UntaggedAnswers) {
            head(&mut out, 6, SELF_DESCRIBED);
        }
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Uint(value) => head(out, 0, *value),
            Self::Bytes(bytes) => write_bytes(out, bytes),
            Self::Text(text) => {
                head(out, 3, text.len() as u64);
                out.extend_from_slice(text.as_bytes());
            }
            Self::Array(items) => {
                head(out, 4, items.len() as u64);
                for item in items {
                    item.write(out);
                }
            }
            Self::Map(entries) => {
                head(out, 5, entries.len() as u64);
                for (key, value) in entries {
                    Self::Text(key).write(out);
                    value.write(out);
                }
            }
            Self::Bool(value) => out.push(if *value { 0xf5 } else { 0xf4 }),
            Self::Null => out.push(0xf6),
        }
    }
}

/// Writes the self-describing tag.
pub fn write_tag(out: &mut Vec<u8>) {
    head(out, 6, SELF_DESCRIBED);
}

/// Writes the head of an array with `len` elements.
pub fn write_array(out: &mut Vec<u8>, len: u64) {
    head(out, 4, len);
}

/// Writes the head of a map with `len` entries.
pub fn write_map(out: &mut Vec<u8>, len: u64) {
    head(out, 5, len);
}

/// Writes an unsigned integer.
pub fn write_uint(out: &mut Vec<u8>, value: u64) {
    head(out, 0, value);
}

/// Writes a byte string.
pub fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    head(out, 2, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Writes a text string.
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    head(out, 3, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

#[allow(clippy::cast_possible_truncation)] // Each arm holds only values of its width.
fn head(out: &mut Vec<u8>, major: u8, value: u64) {
    let major = major << 5;
    match value {
        0..=23 => out.push(major | value as u8),
        24..=0xff => out.extend_from_slice(&[major | 0x18, value as u8]),
        0x100..=0xffff => {
            out.push(major | 0x19);
            out.extend_from_slice(&(value as u16).to_be_bytes());
        }
        0x1_0000..=0xffff_ffff => {
            out.push(major | 0x1a);
            out.extend_from_slice(&(value as u32).to_be_bytes());
        }
        _ => {
            out.push(major | 0x1b);
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    items: usize,
}

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, CborError> {
        let byte = *self.input.get(self.at).ok_or(CborError::Truncated)?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], CborError> {
        let len = usize::try_from(len).map_err(|_| CborError::Truncated)?;
        let end = self.at.checked_add(len).ok_or(CborError::Truncated)?;
        let slice = self.input.get(self.at..end).ok_or(CborError::Truncated)?;
        self.at = end;
        Ok(slice)
    }

    /// The argument of a head; `None` stands for an indefinite length.
    fn argument(&mut self, initial: u8) -> Result<Option<u64>, CborError> {
        let bytes = match initial & 0x1f {
            small @ 0..=23 => return Ok(Some(u64::from(small))),
            24 => self.take(1)?,
            25 => self.take(2)?,
            26 => self.take(4)?,
            27 => self.take(8)?,
            31 => return Ok(None),
            _ => return Err(CborError::Unsupported(initial)),
        };
        Ok(Some(
            bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)),
        ))
    }

    fn value(&mut self, depth: usize, outermost: bool) -> Result<Value<'a>, CborError> {
        self.items += 1;
        if self.items > MAX_ITEMS {
            return Err(CborError::TooManyItems);
        }
        let initial = self.byte()?;
        match (initial >> 5, self.argument_unless_simple(initial)?) {
            (0, Some(value)) => Ok(Value::Uint(value)),
            (2, Some(len)) => Ok(Value::Bytes(self.take(len)?)),
            (3, Some(len)) => Ok(Value::Text(self.text(len)?)),
            (4, len) => self.array(len, depth),
            (5, len) => self.map(len, depth),
            (6, Some(SELF_DESCRIBED)) if outermost => self.value(depth, false),
            (7, _) => match initial {
                0xf4 => Ok(Value::Bool(false)),
                0xf5 => Ok(Value::Bool(true)),
                0xf6 | 0xf7 => Ok(Value::Null),
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
                0xfb if broken(Fault::LaxCbor) => {
                    let bits = self
                        .take(8)?
                        .iter()
                        .fold(0, |bits, byte| bits << 8 | u64::from(*byte));
                    Ok(Value::Uint(f64::from_bits(bits) as u64))
                }
                _ => Err(CborError::Unsupported(initial)),
            },
            _ => Err(CborError::Unsupported(initial)),
        }
    }

    fn argument_unless_simple(&mut self, initial: u8) -> Result<Option<u64>, CborError> {
        if initial >> 5 == 7 {
            Ok(None)
        } else {
            self.argument(initial)
        }
    }

    fn text(&mut self, len: u64) -> Result<&'a str, CborError> {
        std::str::from_utf8(self.take(len)?).map_err(|_| CborError::NotUtf8)
    }

    /// Whether one more element follows, given the declared length and how many were read.
    fn more(&mut self, len: Option<u64>, read: usize) -> bool {
        match len {
            Some(len) => (read as u64) < len,
            None if self.input.get(self.at) == Some(&0xff) => {
                self.at += 1;
                false
            }
            None => true,
        }
    }

    fn array(&mut self, len: Option<u64>, depth: usize) -> Result<Value<'a>, CborError> {
        if depth >= MAX_DEPTH {
            return Err(CborError::TooDeep);
        }
        let mut items = Vec::new();
        while self.more(len, items.len()) {
            items.push(self.value(depth + 1, false)?);
        }
        Ok(Value::Array(items))
    }

    fn map(&mut self, len: Option<u64>, depth: usize) -> Result<Value<'a>, CborError> {
        if depth >= MAX_DEPTH {
            return Err(CborError::TooDeep);
        }
        let mut entries: Vec<(&str, Value<'a>)> = Vec::new();
        while self.more(len, entries.len()) {
            let initial = self.byte()?;
            let key = match (initial >> 5, self.argument_unless_simple(initial)?) {
                (3, Some(len)) => self.text(len)?,
                _ => return Err(CborError::KeyNotText),
            };
            entries.push((key, self.value(depth + 1, false)?));
        }
        // One sorted pass, because comparing each key with all earlier ones is quadratic in what a stranger sends.
        let mut keys: Vec<&str> = entries.iter().map(|(key, _)| *key).collect();
        keys.sort_unstable();
        if let Some(pair) = keys.windows(2).find(|pair| pair[0] == pair[1])
            && !broken(Fault::LaxCbor)
        {
            return Err(CborError::RepeatedKey(pair[0].to_owned()));
        }
        Ok(Value::Map(entries))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn deep_nesting_is_refused_without_recursing_into_it() {
        let body = vec![0x81; 1 << 20];
        assert_eq!(Value::decode(&body), Err(CborError::TooDeep));
    }

    #[test]
    fn a_length_beyond_the_input_allocates_nothing() {
        assert_eq!(
            Value::decode(&[0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            Err(CborError::Truncated)
        );
        assert_eq!(
            Value::decode(&[0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
            Err(CborError::Truncated)
        );
    }

    #[test]
    fn too_many_items_are_refused() {
        let mut body = vec![0x9a, 0x00, 0x10, 0x00, 0x00];
        body.extend(vec![0; 1 << 20]);
        assert_eq!(Value::decode(&body), Err(CborError::TooManyItems));
    }

    #[test]
    fn a_repeated_key_is_refused() {
        assert_eq!(
            Value::decode(&[0xa2, 0x61, b'a', 0, 0x61, b'a', 1]),
            Err(CborError::RepeatedKey("a".into()))
        );
    }

    #[test]
    fn a_tag_inside_is_refused() {
        assert_eq!(
            Value::decode(&[0x81, 0xd9, 0xd9, 0xf7, 0]),
            Err(CborError::Unsupported(0xd9))
        );
    }

    #[test]
    fn indefinite_arrays_and_maps_are_read() {
        let value = Value::decode(&[0xbf, 0x61, b'a', 0x9f, 1, 2, 0xff, 0xff]).unwrap();
        assert_eq!(
            value,
            Value::Map(vec![("a", Value::Array(vec![Value::Uint(1), Value::Uint(2)]))])
        );
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
            let _ = Value::decode(&bytes);
        }

        #[test]
        fn what_is_written_is_read_back(number: u64, bytes: Vec<u8>, text: String, flag: bool) {
            let value = Value::Map(vec![
                ("number", Value::Uint(number)),
                ("list", Value::Array(vec![Value::Bytes(&bytes), Value::Text(&text), Value::Bool(flag), Value::Null])),
            ]);
            let bytes = value.encode();
            prop_assert_eq!(&Value::decode(&bytes).unwrap(), &value);
        }
    }
}
