//! Values and their representation-independent hash (section 1).

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

/// A SHA-256 digest.
pub type Hash = [u8; 32];

/// The fields of a [`Value::Map`], in ascending byte order of their names.
pub type Map = BTreeMap<String, Value>;

/// An ICRC-3 value without `Int` and with `Nat` at most 2^64−1 (section 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A natural number.
    Nat(u64),
    /// Bytes.
    Blob(Vec<u8>),
    /// Unicode text.
    Text(String),
    /// A list.
    Array(Vec<Value>),
    /// Named fields, each name once.
    Map(Map),
}

impl Value {
    /// The representation-independent hash of ICRC-3 (section 1).
    pub fn hash(&self) -> Hash {
        match self {
            Value::Nat(n) => sha256(&leb128(*n)),
            Value::Blob(bytes) => sha256(bytes),
            Value::Text(text) => sha256(text.as_bytes()),
            Value::Array(items) => {
                let mut hasher = Sha256::new();
                for item in items {
                    hasher.update(item.hash());
                }
                hasher.finalize().into()
            }
            Value::Map(map) => hash_map(map),
        }
    }

    /// How deep arrays and maps are nested: 0 for a number, text or blob, 1 for a list of those (section 1: at most
    /// [`crate::limits::MAX_DEPTH`]).
    pub fn depth(&self) -> usize {
        let inside = match self {
            Value::Nat(_) | Value::Blob(_) | Value::Text(_) => return 0,
            Value::Array(items) => items.iter().map(Value::depth).max(),
            Value::Map(map) => map.values().map(Value::depth).max(),
        };
        inside.unwrap_or(0) + 1
    }

    /// The word for this kind of value in messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Nat(_) => "Nat",
            Value::Blob(_) => "Blob",
            Value::Text(_) => "Text",
            Value::Array(_) => "Array",
            Value::Map(_) => "Map",
        }
    }

    /// The number, if it is one.
    pub fn as_nat(&self) -> Option<u64> {
        if let Value::Nat(n) = self { Some(*n) } else { None }
    }

    /// The bytes, if it is a blob.
    pub fn as_blob(&self) -> Option<&[u8]> {
        if let Value::Blob(bytes) = self {
            Some(bytes)
        } else {
            None
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        if let Value::Text(text) = self {
            Some(text)
        } else {
            None
        }
    }

    /// The elements, if it is an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        if let Value::Array(items) = self {
            Some(items)
        } else {
            None
        }
    }

    /// The fields, if it is a map.
    pub fn as_map(&self) -> Option<&Map> {
        if let Value::Map(map) = self {
            Some(map)
        } else {
            None
        }
    }
}

impl From<u64> for Value {
    fn from(n: u64) -> Self {
        Value::Nat(n)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Value::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Value::Text(text)
    }
}

impl From<Hash> for Value {
    fn from(hash: Hash) -> Self {
        Value::Blob(hash.to_vec())
    }
}

impl From<Vec<u8>> for Value {
    fn from(bytes: Vec<u8>) -> Self {
        Value::Blob(bytes)
    }
}

impl From<Map> for Value {
    fn from(map: Map) -> Self {
        Value::Map(map)
    }
}

/// Builds the fields of a map from pairs; a repeated name keeps the last value.
pub fn map<const N: usize>(fields: [(&str, Value); N]) -> Map {
    fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// The hash of a map without taking ownership of its fields (section 1).
pub fn hash_map(map: &Map) -> Hash {
    let mut pairs: Vec<[u8; 64]> = map
        .iter()
        .map(|(name, value)| {
            let mut pair = [0; 64];
            pair[..32].copy_from_slice(&sha256(name.as_bytes()));
            pair[32..].copy_from_slice(&value.hash());
            pair
        })
        .collect();
    pairs.sort_unstable();
    let mut hasher = Sha256::new();
    for pair in &pairs {
        hasher.update(pair);
    }
    hasher.finalize().into()
}

/// SHA-256 of the bytes.
pub fn sha256(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// The unsigned LEB128 encoding of a number, as hashes and certified labels use it (sections 1 and 7).
pub fn leb128(mut n: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(10);
    loop {
        let low = (n & 0x7f) as u8;
        n >>= 7;
        if n == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Reads what [`leb128`] wrote; nothing else (no padding, no trailing bytes, at most 64 bits).
pub fn read_leb128(bytes: &[u8]) -> Option<u64> {
    let mut n: u64 = 0;
    for (i, byte) in bytes.iter().enumerate() {
        let low = u64::from(byte & 0x7f);
        let shift = u32::try_from(i).ok()?.checked_mul(7)?;
        if shift > 63 || (low << shift) >> shift != low {
            return None;
        }
        n |= low << shift;
        if byte & 0x80 == 0 {
            let last = i + 1 == bytes.len();
            let padded = i > 0 && low == 0;
            return (last && !padded).then_some(n);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex_of(value: &Value) -> String {
        hex::encode(value.hash())
    }

    #[test]
    fn the_vectors_of_icrc_3_hold() {
        // From HASHINGVALUES.md of the standard.
        assert_eq!(
            hex_of(&Value::Nat(42)),
            "684888c0ebb17f374298b65ee2807526c066094c701bcc7ebbe1c1095f494fc1"
        );
        assert_eq!(
            hex_of(&Value::from("Hello, World!")),
            "dffd6021bb2bd5b0af676290809ec3a53191dd81c7f70a4b28688a362182986f"
        );
        assert_eq!(
            hex_of(&Value::Blob(vec![1, 2, 3, 4])),
            "9f64a747e1b97f131fabb6b447296c9b6f0201e79fb3c5356e6c77e89b6a806a"
        );
        assert_eq!(
            hex_of(&Value::Array(vec![
                Value::Nat(3),
                Value::from("foo"),
                Value::Blob(vec![5, 6])
            ])),
            "514a04011caa503990d446b7dec5d79e19c221ae607fb08b2848c67734d468d6"
        );
    }

    #[test]
    fn depth_counts_arrays_and_maps_only() {
        assert_eq!(Value::Nat(1).depth(), 0);
        assert_eq!(Value::Array(vec![]).depth(), 1);
        assert_eq!(
            Value::Array(vec![Value::Map(map([("a", Value::Nat(1))]))]).depth(),
            2
        );
    }

    #[test]
    fn padded_or_overlong_leb128_is_refused() {
        for bad in [
            &[][..],
            &[0x80],
            &[0x80, 0x00],
            &[0x00, 0x00],
            &[0xff; 10],
            &[0xff; 11],
        ] {
            assert_eq!(read_leb128(bad), None, "{bad:?}");
        }
        assert_eq!(read_leb128(&[0]), Some(0));
    }

    proptest! {
        #[test]
        fn leb128_reads_back(n: u64) {
            prop_assert_eq!(read_leb128(&leb128(n)), Some(n));
        }
    }
}
