//! The hash tree around the certified labels (section 7 of the format; "Certification" of the interface
//! specification): its root for `certified_data_set`, its bytes for the witness.

use dcanary_types::{Hash, labels::Labels};
use sha2::{Digest, Sha256};

/// The self-describe tag 55799 in front of CBOR.
pub const SELF_DESCRIBE: [u8; 3] = [0xd9, 0xd9, 0xf7];

/// A hash tree with nothing pruned: its root hash and its CBOR without tag.
struct Tree {
    hash: Hash,
    cbor: Vec<u8>,
}

/// What `certified_data_set` takes.
pub fn root(labels: &Labels) -> Hash {
    tree(&leaves(labels)).hash
}

/// What `icrc3_get_tip_certificate` answers as `hash_tree`.
pub fn witness(labels: &Labels) -> Vec<u8> {
    [&SELF_DESCRIBE, tree(&leaves(labels)).cbor.as_slice()].concat()
}

fn leaves(labels: &Labels) -> Vec<(&'static str, Vec<u8>)> {
    labels.leaves().into_iter().collect()
}

/// Labels in order, split in the middle at each level.
fn tree(leaves: &[(&'static str, Vec<u8>)]) -> Tree {
    match leaves {
        [] => Tree {
            hash: hash("ic-hashtree-empty", &[]),
            cbor: vec![0x81, 0],
        },
        [(label, content)] => {
            let leaf = hash("ic-hashtree-leaf", &[content]);
            let mut cbor = vec![0x83, 2];
            write_bytes(&mut cbor, label.as_bytes());
            cbor.extend_from_slice(&[0x82, 3]);
            write_bytes(&mut cbor, content);
            Tree {
                hash: hash("ic-hashtree-labeled", &[label.as_bytes(), &leaf]),
                cbor,
            }
        }
        many => {
            let (left, right) = many.split_at(many.len() / 2);
            let (left, right) = (tree(left), tree(right));
            let cbor = [&[0x83, 1], left.cbor.as_slice(), &right.cbor].concat();
            Tree {
                hash: hash("ic-hashtree-fork", &[&left.hash, &right.hash]),
                cbor,
            }
        }
    }
}

/// The domain-separated hash of the interface specification: one byte of length, the separator, the parts.
fn hash(separator: &str, parts: &[&[u8]]) -> Hash {
    let length = u8::try_from(separator.len()).unwrap_or(u8::MAX);
    let mut hasher = Sha256::new().chain_update([length]).chain_update(separator);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// A byte string; labels and leaves have at most 32 bytes, so the head has one or two.
fn write_bytes(cbor: &mut Vec<u8>, bytes: &[u8]) {
    let length = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    if length < 24 {
        cbor.push(0x40 | length);
    } else {
        cbor.extend_from_slice(&[0x58, length]);
    }
    cbor.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use ic_certification::{HashTree, LookupResult};

    use super::*;

    #[test]
    fn the_witness_is_what_the_reference_implementation_reads_and_hashes() {
        for size in [1, 127, 128, 1 << 40] {
            let labels = Labels::new([1; 32], [2; 32], size, [3; 32]);
            let bytes = witness(&labels);
            let tree: HashTree = ciborium::from_reader(&bytes[SELF_DESCRIBE.len()..]).unwrap();
            assert_eq!(tree.digest(), root(&labels));
            for (label, content) in labels.leaves() {
                assert_eq!(
                    tree.lookup_path([label]),
                    LookupResult::Found(&content),
                    "{label}"
                );
            }
        }
    }
}
