//! Certificates: reading, verifying, looking up.
//!
//! Source: "Certification".

use super::request::entry;
use crate::case::Failure;
use candid::Principal;
use ciborium::Value;
use ic_certification::{HashTree, LookupResult, empty, fork, labeled, leaf, pruned};

/// The DER key of the root of trust before its 96 bytes.
const DER_PREFIX: usize = 37;

/// A certificate.
#[derive(Debug, Clone)]
pub struct Certificate {
    /// The part of the state tree that it shows.
    pub tree: HashTree,
    /// The signature on the root hash.
    pub signature: Vec<u8>,
    /// The subnet's id and the root's certificate for its key.
    pub delegation: Option<(Principal, Box<Certificate>)>,
    /// The tree as it was sent.
    raw: Value,
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// A value.
    Value(Vec<u8>),
    /// Nothing, for sure.
    Absent,
    /// It is not shown.
    Pruned,
    /// A subtree.
    Inner,
}

impl Certificate {
    /// Reads a certificate.
    pub fn decode(bytes: &[u8]) -> Result<Self, Failure> {
        let whole: Value = ciborium::from_reader(bytes)
            .map_err(|error| Failure::new(format!("the certificate cannot be read: {error}")))?;
        let whole = match whole {
            Value::Tag(55_799, inner) => *inner,
            other => other,
        };
        let field = |name: &str| {
            entry(&whole, name).ok_or_else(|| Failure::new(format!("a certificate without `{name}`")))
        };
        let delegation = match entry(&whole, "delegation") {
            None => None,
            Some(delegation) => {
                let part = |name: &str| entry(delegation, name).and_then(Value::as_bytes);
                let (Some(subnet), Some(certificate)) = (part("subnet_id"), part("certificate")) else {
                    return Err(Failure::new("a delegation without subnet or certificate"));
                };
                Some((
                    Principal::try_from_slice(subnet)?,
                    Box::new(Self::decode(certificate)?),
                ))
            }
        };
        let raw = field("tree")?.clone();
        Ok(Self {
            tree: tree(&raw)?,
            signature: field("signature")?.as_bytes().cloned().unwrap_or_default(),
            delegation,
            raw,
        })
    }

    /// Looks a path up.
    pub fn lookup(&self, path: &[&[u8]]) -> Found {
        match self.tree.lookup_path(path) {
            LookupResult::Found(value) => Found::Value(value.to_vec()),
            LookupResult::Absent => Found::Absent,
            LookupResult::Unknown => Found::Pruned,
            LookupResult::Error => Found::Inner,
        }
    }

    /// The value at a path; the case fails when there is none.
    pub fn value(&self, path: &[&[u8]]) -> Result<Vec<u8>, Failure> {
        match self.lookup(path) {
            Found::Value(value) => Ok(value),
            other => Err(Failure::new(format!(
                "expected a value at {}, seen {other:?}",
                show(path)
            ))),
        }
    }

    /// The number at a path.
    pub fn number(&self, path: &[&[u8]]) -> Result<u64, Failure> {
        unleb(&self.value(path)?)
    }

    /// The certified time.
    pub fn time(&self) -> Result<u64, Failure> {
        self.number(&[b"time"])
    }

    /// All paths with values.
    pub fn paths(&self) -> Vec<Vec<Vec<u8>>> {
        let paths = self.tree.list_paths();
        paths
            .into_iter()
            .map(|path| path.into_iter().map(|label| label.as_bytes().to_vec()).collect())
            .collect()
    }

    /// Whether the ranges below `/<label>/<subnet>` have a canister.
    pub fn covers(&self, label: &[u8], subnet: Principal, canister: Principal) -> Result<bool, Failure> {
        for path in self.paths() {
            if !matches!(path.as_slice(), [first, id, ..] if first == label && id == subnet.as_slice()) {
                continue;
            }
            let labels: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
            let ranges: Value = ciborium::from_reader(self.value(&labels)?.as_slice())?;
            let Value::Tag(55_799, ranges) = ranges else {
                return Err(Failure::new("the ranges have no self-describing tag"));
            };
            let id = canister.as_slice();
            let inside = ranges.as_array().into_iter().flatten().any(|range| {
                let ends: Vec<&[u8]> = range
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|end| end.as_bytes().map(Vec::as_slice))
                    .collect();
                matches!(ends.as_slice(), [first, last] if *first <= id && id <= *last)
            });
            if inside {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Checks that labels increase and that leaves stand alone, everywhere in the tree.
    pub fn well_formed(&self) -> Result<(), Failure> {
        well_formed(&self.raw)
    }

    /// Verifies from the root key down.
    pub fn verify(&self, root_key: &[u8]) -> Result<(), Failure> {
        let key = match &self.delegation {
            None => root_key.to_vec(),
            Some((subnet, certificate)) => {
                if certificate.delegation.is_some() {
                    return Err(Failure::new("a delegation's certificate has a delegation itself"));
                }
                certificate.verify(root_key)?;
                certificate.value(&[b"subnet", subnet.as_slice(), b"public_key"])?
            }
        };
        let raw = key
            .get(DER_PREFIX..)
            .ok_or_else(|| Failure::new("the key is not a BLS key in DER"))?;
        let message = [b"\x0Dic-state-root".as_slice(), &self.tree.digest()].concat();
        ic_verify_bls_signature::verify_bls_signature(&self.signature, &message, raw)
            .map_err(|()| Failure::new("the signature of the certificate does not verify"))
    }
}

/// A tree as the library has it.
fn tree(node: &Value) -> Result<HashTree, Failure> {
    let parts = node.as_array().map(Vec::as_slice).unwrap_or_default();
    let kind = parts
        .first()
        .and_then(Value::as_integer)
        .and_then(|kind| u8::try_from(kind).ok());
    Ok(match (kind, parts.get(1..).unwrap_or_default()) {
        (Some(0), []) => empty(),
        (Some(1), [left, right]) => fork(tree(left)?, tree(right)?),
        (Some(2), [Value::Bytes(label), below]) => labeled(label.clone(), tree(below)?),
        (Some(3), [Value::Bytes(value)]) => leaf(value.clone()),
        (Some(4), [Value::Bytes(hash)]) => pruned(<[u8; 32]>::try_from(hash.as_slice())?),
        _ => return Err(Failure::new(format!("the tree has a strange node: {node:?}"))),
    })
}

/// The children of a node: forks are opened.
fn forest<'a>(node: &'a Value, into: &mut Vec<&'a Value>) {
    match node.as_array().map(Vec::as_slice) {
        Some([kind, left, right]) if *kind == Value::Integer(1.into()) => {
            forest(left, into);
            forest(right, into);
        }
        Some([kind]) if *kind == Value::Integer(0.into()) => {}
        _ => into.push(node),
    }
}

fn well_formed(node: &Value) -> Result<(), Failure> {
    let mut children = Vec::new();
    forest(node, &mut children);
    let mut last: Option<&[u8]> = None;
    for child in &children {
        match child.as_array().map(Vec::as_slice) {
            Some([kind, Value::Bytes(label), below]) if *kind == Value::Integer(2.into()) => {
                if last.is_some_and(|last| last >= label.as_slice()) {
                    return Err(Failure::new("the labels of a tree do not increase"));
                }
                last = Some(label);
                well_formed(below)?;
            }
            Some([kind, Value::Bytes(_)]) if *kind == Value::Integer(3.into()) => {
                if children.len() > 1 {
                    return Err(Failure::new("a leaf has neighbours"));
                }
            }
            Some([kind, Value::Bytes(hash)]) if *kind == Value::Integer(4.into()) && hash.len() == 32 => {}
            other => return Err(Failure::new(format!("the tree has a strange node: {other:?}"))),
        }
    }
    Ok(())
}

/// A path for people.
pub fn show(path: &[&[u8]]) -> String {
    let labels = path.iter().map(|label| match std::str::from_utf8(label) {
        Ok(text) if text.chars().all(|character| character.is_ascii_graphic()) => text.to_owned(),
        _ => hex::encode(label),
    });
    labels.fold(String::new(), |path, label| path + "/" + &label)
}

/// Reads an unsigned LEB128 number.
pub fn unleb(bytes: &[u8]) -> Result<u64, Failure> {
    let mut number: u64 = 0;
    for (at, byte) in bytes.iter().enumerate() {
        let shift = u32::try_from(at * 7)?;
        number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or_default();
    }
    Ok(number)
}
