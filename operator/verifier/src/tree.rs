//! Hash trees of the Internet Computer: digest, well-formedness, look-up.
//!
//! ```text
//!            look-up of a path ends at
//!   Found    a revealed leaf
//!   Absent   a gap between two revealed labels: proved not to exist
//!   Unknown  a pruned part: says nothing, and is never taken for Absent
//!   NotLeaf  a subtree
//! ```
//! The rules are those of the interface specification, section "Lookup".

use sha2::{Digest as _, Sha256};

use crate::cbor::{CborError, Reader};

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// Forks and labels above a leaf; certificates of the network stay far below.
const MAX_DEPTH: usize = 128;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Node {
    Empty,
    Fork(Box<(Node, Node)>),
    Labeled(Vec<u8>, Box<Node>),
    Leaf(Vec<u8>),
    Pruned(Hash),
}

/// A well-formed hash tree: in every level labels strictly ascend and a leaf stands alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashTree {
    root: Node,
    digest: Hash,
}

/// What a hash tree says of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lookup<'a> {
    /// The value there.
    Found(&'a [u8]),
    /// The tree proves that nothing is there.
    Absent,
    /// The tree says nothing of the path: that part is pruned.
    Unknown,
    /// A subtree is there, not a value.
    NotLeaf,
}

impl<'a> Lookup<'a> {
    /// The value, if one is there.
    pub fn found(self) -> Option<&'a [u8]> {
        match self {
            Self::Found(value) => Some(value),
            _ => None,
        }
    }
}

enum Found<'a> {
    Node(&'a Node),
    Absent,
    Unknown,
}

impl HashTree {
    /// Reads a tree that stands alone, with or without self-describe tag.
    ///
    /// # Errors
    /// When the bytes are not one well-formed tree in the shortest encoding.
    pub fn decode(bytes: &[u8]) -> Result<Self, CborError> {
        let mut reader = Reader::tagged(bytes);
        let tree = Self::read(&mut reader)?;
        reader.end()?;
        Ok(tree)
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self, CborError> {
        let root = Node::read(reader, MAX_DEPTH)?;
        root.check_order()?;
        let digest = root.digest();
        Ok(Self { root, digest })
    }

    /// The root hash.
    pub fn digest(&self) -> Hash {
        self.digest
    }

    /// Looks a path up.
    pub fn lookup(&self, path: &[&[u8]]) -> Lookup<'_> {
        match self.find(path) {
            Found::Absent | Found::Node(Node::Empty) => Lookup::Absent,
            Found::Unknown | Found::Node(Node::Pruned(_)) => Lookup::Unknown,
            Found::Node(Node::Leaf(value)) => Lookup::Found(value),
            Found::Node(Node::Fork(_) | Node::Labeled(..)) => Lookup::NotLeaf,
        }
    }

    /// The labels and leaf values revealed directly below a path. Says nothing of pruned ones.
    pub fn revealed_leaves(&self, path: &[&[u8]]) -> Vec<(&[u8], &[u8])> {
        let mut leaves = Vec::new();
        if let Found::Node(node) = self.find(path) {
            node.each_child(&mut |child| {
                if let Node::Labeled(label, inner) = child
                    && let Node::Leaf(value) = &**inner
                {
                    leaves.push((label.as_slice(), value.as_slice()));
                }
            });
        }
        leaves
    }

    /// The labels and values of a tree that is nothing but leaves under root labels, with nothing pruned.
    pub fn flat(&self) -> Option<Vec<(&[u8], &[u8])>> {
        let mut children = 0;
        self.root.each_child(&mut |_| children += 1);
        let leaves = self.revealed_leaves(&[]);
        (leaves.len() == children).then_some(leaves)
    }

    fn find(&self, path: &[&[u8]]) -> Found<'_> {
        let mut at = &self.root;
        for label in path {
            at = match at.child(label) {
                Found::Node(node) => node,
                other => return other,
            };
        }
        Found::Node(at)
    }
}

impl Node {
    fn read(reader: &mut Reader<'_>, depth: usize) -> Result<Self, CborError> {
        const WHAT: &str = "a hash tree node";
        let depth = depth.checked_sub(1).ok_or(CborError::TooDeep)?;
        let items = reader.array(WHAT)?;
        match (reader.uint(WHAT)?, items) {
            (0, 1) => Ok(Self::Empty),
            (1, 3) => Ok(Self::Fork(Box::new((
                Self::read(reader, depth)?,
                Self::read(reader, depth)?,
            )))),
            (2, 3) => {
                let label = reader.bytes("a label")?.to_vec();
                Ok(Self::Labeled(label, Box::new(Self::read(reader, depth)?)))
            }
            (3, 2) => Ok(Self::Leaf(reader.bytes("a leaf")?.to_vec())),
            (4, 2) => {
                let hash = reader.bytes("a pruned hash")?;
                Ok(Self::Pruned(
                    hash.try_into()
                        .map_err(|_| CborError::Expected("a pruned hash of 32 bytes"))?,
                ))
            }
            _ => Err(CborError::Expected(WHAT)),
        }
    }

    /// Visits the members of this level in order: everything that is neither fork nor empty.
    fn each_child<'a>(&'a self, visit: &mut impl FnMut(&'a Node)) {
        match self {
            Self::Fork(pair) => {
                pair.0.each_child(visit);
                pair.1.each_child(visit);
            }
            Self::Empty => {}
            other => visit(other),
        }
    }

    fn check_order(&self) -> Result<(), CborError> {
        let (mut children, mut leaf, mut ordered) = (0, false, true);
        let mut last: Option<&[u8]> = None;
        let mut below = Ok(());
        self.each_child(&mut |child| {
            children += 1;
            match child {
                Self::Labeled(label, inner) => {
                    ordered &= last.is_none_or(|l| l < label.as_slice());
                    last = Some(label);
                    if below.is_ok() {
                        below = inner.check_order();
                    }
                }
                Self::Leaf(_) => leaf = true,
                _ => {}
            }
        });
        below?;
        let alone = matches!(self, Self::Leaf(_));
        if !ordered || (leaf && !alone) {
            return Err(CborError::Expected(
                "labels in ascending order and no leaf beside them",
            ));
        }
        Ok(())
    }

    fn child(&self, label: &[u8]) -> Found<'_> {
        // `gap` is true while the member before is known to be smaller than `label`, or there is none.
        let (mut gap, mut result) = (true, None);
        self.each_child(&mut |child| {
            if result.is_some() {
                return;
            }
            match child {
                Self::Labeled(name, inner) => match name.as_slice().cmp(label) {
                    std::cmp::Ordering::Less => gap = true,
                    std::cmp::Ordering::Equal => result = Some(Found::Node(inner)),
                    std::cmp::Ordering::Greater => {
                        result = Some(if gap { Found::Absent } else { Found::Unknown });
                    }
                },
                Self::Pruned(_) => gap = false,
                _ => {}
            }
        });
        result.unwrap_or(if gap { Found::Absent } else { Found::Unknown })
    }

    fn digest(&self) -> Hash {
        match self {
            Self::Empty => hash(b"\x11ic-hashtree-empty", &[]),
            Self::Fork(pair) => hash(b"\x10ic-hashtree-fork", &[&pair.0.digest(), &pair.1.digest()]),
            Self::Labeled(label, inner) => hash(b"\x13ic-hashtree-labeled", &[label, &inner.digest()]),
            Self::Leaf(value) => hash(b"\x10ic-hashtree-leaf", &[value]),
            Self::Pruned(hash) => *hash,
        }
    }
}

fn hash(domain: &[u8], parts: &[&[u8]]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(domain);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The example of the interface specification, section "Example".
    const SPEC: &str = "8301830183024161830183018302417882034568656c6c6f810083024179820345776f726c6483024162820344676f6f648301830241638100830241648203476d6f726e696e67";
    /// The same with everything pruned but `/a/y` and the neighbours it needs.
    const PRUNED: &str = "83018301830241618301820458201b4feff9bef8131788b0c9dc6dbad6e81e524249c879e9f10f71ce3749f5a63883024179820345776f726c6483024162820458207b32ac0c6ba8ce35ac82c255fc7906f7fc130dab2a090f80fe12f9c2cae83ba6830182045820ec8324b8a1f1ac16bd2e806edba78006479c9877fed4eb464a25485465af601d830241648203476d6f726e696e67";

    fn tree(hex: &str) -> HashTree {
        HashTree::decode(&hex::decode(hex).unwrap()).unwrap()
    }

    #[test]
    fn the_tree_of_the_specification_has_its_published_root_whole_and_pruned() {
        let root = "eb5c5b2195e62d996b84c9bcc8259d19a83786a2f59e0878cec84c811f669aa0";
        assert_eq!(hex::encode(tree(SPEC).digest()), root);
        assert_eq!(hex::encode(tree(PRUNED).digest()), root);
    }

    #[test]
    fn a_pruned_path_is_unknown_and_never_absent() {
        let tree = tree(PRUNED);
        assert_eq!(tree.lookup(&[b"a", b"y"]), Lookup::Found(b"world"));
        assert_eq!(tree.lookup(&[b"a", b"a"]), Lookup::Unknown);
        assert_eq!(tree.lookup(&[b"a", b"z"]), Lookup::Absent);
        assert_eq!(tree.lookup(&[b"aa"]), Lookup::Absent);
        assert_eq!(tree.lookup(&[b"b"]), Lookup::Unknown);
        assert_eq!(tree.lookup(&[b"b", b"x"]), Lookup::Unknown);
        assert_eq!(tree.lookup(&[b"c"]), Lookup::Unknown);
        assert_eq!(tree.lookup(&[b"d", b"x"]), Lookup::Absent);
        assert_eq!(tree.lookup(&[b"e"]), Lookup::Absent);
        assert_eq!(tree.lookup(&[b"a"]), Lookup::NotLeaf);
    }

    #[test]
    fn labels_out_of_order_or_a_leaf_beside_labels_are_refused() {
        for bad in [
            "8301830241628100830241618100", // b before a
            "8301830241618100830241618100", // a twice
            "8301820341618302416181 00",    // leaf beside a label
        ] {
            assert!(
                HashTree::decode(&hex::decode(bad.replace(' ', "")).unwrap()).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_tree_of_endless_depth_is_refused() {
        let mut bytes = [0x83, 0x02, 0x41, 0x61].repeat(100_000);
        bytes.extend([0x81, 0]);
        assert_eq!(HashTree::decode(&bytes), Err(CborError::TooDeep));
    }
}
