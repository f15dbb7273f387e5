//! The representation-independent hash of structured data, which names requests and is what clients and nodes sign.
//!
//! Source: IC interface specification, "Representation-independent hashing of structured data".

use super::cbor::Value;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// A value that has no representation-independent hash.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("the request holds a value (true, false or null) that has no hash")]
pub struct Unhashable;

/// SHA-256 of one byte string.
pub fn sha256(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// The hash of a map: the sorted concatenation of the hashes of its keys and values.
pub fn hash_of_map<'a>(entries: &[(&'a str, Value<'a>)]) -> Result<Hash, Unhashable> {
    let mut pairs = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let mut pair = [0; 64];
        pair[..32].copy_from_slice(&sha256(key.as_bytes()));
        pair[32..].copy_from_slice(&hash_of_value(value)?);
        pairs.push(pair);
    }
    pairs.sort_unstable();
    let mut hasher = Sha256::new();
    for pair in &pairs {
        hasher.update(pair);
    }
    Ok(hasher.finalize().into())
}

fn hash_of_value(value: &Value<'_>) -> Result<Hash, Unhashable> {
    match value {
        Value::Uint(number) => Ok(sha256(&leb128(*number))),
        Value::Bytes(bytes) => Ok(sha256(bytes)),
        Value::Text(text) => Ok(sha256(text.as_bytes())),
        Value::Array(items) => {
            let mut hasher = Sha256::new();
            for item in items {
                hasher.update(hash_of_value(item)?);
            }
            Ok(hasher.finalize().into())
        }
        Value::Map(entries) => hash_of_map(entries),
        Value::Bool(_) | Value::Null => Err(Unhashable),
    }
}

/// Unsigned LEB128, the encoding of numbers in hashes and in the state tree.
pub fn leb128(mut number: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(10);
    loop {
        let byte = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            out.push(byte);
            return out;
        }
        out.push(byte | 0x80);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// The worked example of the specification, "Request ids".
    #[test]
    fn the_specifications_example_has_its_request_id() {
        let canister = [0, 0, 0, 0, 0, 0, 0x04, 0xd2];
        let content = [
            ("request_type", Value::Text("call")),
            ("sender", Value::Bytes(&[0x04])),
            ("ingress_expiry", Value::Uint(1_685_570_400_000_000_000)),
            ("canister_id", Value::Bytes(&canister)),
            ("method_name", Value::Text("hello")),
            ("arg", Value::Bytes(b"DIDL\x00\xfd*")),
        ];
        let id = hex::encode(hash_of_map(&content).unwrap());
        assert_eq!(
            id,
            "1d1091364d6bb8a6c16b203ee75467d59ead468f523eb058880ae8ec80e2b101"
        );
    }

    #[test]
    fn the_order_of_fields_does_not_matter() {
        let one = hash_of_map(&[("a", Value::Uint(1)), ("b", Value::Text("x"))]);
        let two = hash_of_map(&[("b", Value::Text("x")), ("a", Value::Uint(1))]);
        assert_eq!(one, two);
    }
}
