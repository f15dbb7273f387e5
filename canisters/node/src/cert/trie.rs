//! An ordered map that is persistent, authenticated and independent of its history.
//!
//! A crit-bit tree over the label bytes. Cloning shares everything, so a snapshot costs one pointer; a change copies one
//! path and rehashes it. The shape depends only on the labels held, never on the order in which they came, so a node that
//! restores a checkpoint and replays the rest has the same root hash as one that never stopped.
//!
//! Bit positions: each byte takes nine bits, the first of which says that the byte exists. A label therefore sorts
//! before its own extensions, and the tree's order is the lexicographic order that hash trees demand.

use crate::faults::{Fault, broken};
use ic_certification::hash_tree::{fork_hash, labeled_hash};
use ic_certification::{HashTree, empty, fork, labeled, pruned};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A SHA-256 hash of a hash tree.
pub type Hash = [u8; 32];

/// A value that is itself a hash tree.
pub trait Subtree {
    /// The root hash of the value.
    fn hash(&self) -> Hash;
}

/// See the module documentation.
#[derive(Debug)]
pub struct Trie<V>(Option<Arc<Node<V>>>);

#[derive(Debug)]
enum Node<V> {
    Leaf {
        label: Box<[u8]>,
        value: V,
        hash: Hash,
    },
    Fork {
        bit: usize,
        left: Arc<Node<V>>,
        right: Arc<Node<V>>,
        hash: Hash,
    },
}

impl<V> Clone for Trie<V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<V> Default for Trie<V> {
    fn default() -> Self {
        Self(None)
    }
}

/// The hash of the empty tree.
pub fn empty_hash() -> Hash {
    Sha256::digest(b"\x11ic-hashtree-empty").into()
}

fn bit(label: &[u8], at: usize) -> bool {
    match (label.get(at / 9), at % 9) {
        (None, _) => false,
        (Some(_), 0) => true,
        (Some(byte), place) => byte & (0x80 >> (place - 1)) != 0,
    }
}

/// The first bit in which two different labels differ.
fn critical_bit(one: &[u8], two: &[u8]) -> Option<usize> {
    let same = one.iter().zip(two).take_while(|(a, b)| a == b).count();
    match (one.get(same), two.get(same)) {
        (None, None) => None,
        (Some(a), Some(b)) => Some(same * 9 + 1 + (a ^ b).leading_zeros() as usize),
        _ => Some(same * 9),
    }
}

impl<V> Node<V> {
    fn hash(&self) -> Hash {
        match self {
            Self::Leaf { hash, .. } | Self::Fork { hash, .. } => *hash,
        }
    }

    fn fork(bit: usize, left: Arc<Self>, right: Arc<Self>) -> Arc<Self> {
        let hash = fork_hash(&left.hash(), &right.hash());
        Arc::new(Self::Fork {
            bit,
            left,
            right,
            hash,
        })
    }
}

impl<V> Trie<V> {
    /// The value at a label.
    pub fn get(&self, label: &[u8]) -> Option<&V> {
        self.leaf(label).map(|(_, value)| value)
    }

    /// All labels and values in the order of the labels.
    pub fn iter(&self) -> Iter<'_, V> {
        Iter(self.0.as_deref().into_iter().collect())
    }

    /// The first label after another one, which need not be there, and its value.
    pub fn after(&self, label: &[u8]) -> Option<(&[u8], &V)> {
        // Nothing is between a label and its extension by a zero.
        let mut next = label.to_vec();
        next.push(0);
        if let Some(node) = self.leaf(&next) {
            return Some(node);
        }
        let [_, after] = self.neighbours(&next);
        self.leaf(after?)
    }

    fn leaf(&self, label: &[u8]) -> Option<(&[u8], &V)> {
        let mut node = self.0.as_deref()?;
        loop {
            match node {
                Node::Leaf {
                    label: found, value, ..
                } => return (**found == *label).then_some((&**found, value)),
                Node::Fork {
                    bit: at, left, right, ..
                } => node = if bit(label, *at) { right } else { left },
            }
        }
    }

    /// The root hash.
    pub fn hash(&self) -> Hash {
        self.0.as_deref().map_or_else(empty_hash, Node::hash)
    }

    /// The nearest labels before and after one that is absent.
    fn neighbours(&self, label: &[u8]) -> [Option<&[u8]>; 2] {
        let (mut before, mut after) = (None, None);
        let Some(root) = self.0.as_deref() else {
            return [None, None];
        };
        let mut closest = root;
        while let Node::Fork {
            bit: at, left, right, ..
        } = closest
        {
            closest = if bit(label, *at) { right } else { left };
        }
        let Node::Leaf { label: found, .. } = closest else {
            return [None, None];
        };
        let Some(critical) = critical_bit(label, found) else {
            return [None, None];
        };
        let mut node = root;
        while let Node::Fork {
            bit: at, left, right, ..
        } = node
        {
            if *at > critical {
                break;
            }
            if bit(label, *at) {
                before = Some(&**left);
                node = right;
            } else {
                after = Some(&**right);
                node = left;
            }
        }
        if bit(label, critical) {
            before = Some(node);
        } else {
            after = Some(node);
        }
        [
            before.map(|node| edge(node, true)),
            after.map(|node| edge(node, false)),
        ]
    }
}

fn edge<V>(mut node: &Node<V>, last: bool) -> &[u8] {
    loop {
        match node {
            Node::Leaf { label, .. } => return label,
            Node::Fork { left, right, .. } => node = if last { right } else { left },
        }
    }
}

impl<V: Subtree + Clone> Trie<V> {
    /// Sets the value at a label and returns the one before.
    pub fn insert(&mut self, label: &[u8], value: V) -> Option<V> {
        let hash = labeled_hash(label, &value.hash());
        let leaf = Arc::new(Node::Leaf {
            label: label.into(),
            value,
            hash,
        });
        let old = self.get(label).cloned();
        let critical = match &self.0 {
            None => None,
            Some(root) => {
                let mut node = &**root;
                while let Node::Fork {
                    bit: at, left, right, ..
                } = node
                {
                    node = if bit(label, *at) { right } else { left };
                }
                match node {
                    Node::Leaf { label: found, .. } => critical_bit(label, found),
                    Node::Fork { .. } => None,
                }
            }
        };
        self.0 = Some(match &self.0 {
            None => leaf,
            Some(root) => place(root, label, critical, leaf),
        });
        old
    }

    /// Removes a label.
    pub fn remove(&mut self, label: &[u8]) -> Option<V> {
        let old = self.get(label).cloned()?;
        if let Some(root) = self.0.take() {
            self.0 = without(&root, label);
        }
        Some(old)
    }

    /// The part of the tree that proves the wanted labels, or that they are absent.
    ///
    /// `show` turns the value of a wanted label into the tree to show below it.
    pub fn witness<'a>(
        &self,
        wanted: impl IntoIterator<Item = &'a [u8]>,
        show: &dyn Fn(&[u8], &V) -> HashTree,
    ) -> HashTree {
        let Some(root) = self.0.as_deref() else {
            return empty();
        };
        let mut present = BTreeSet::new();
        let mut beside = BTreeSet::new();
        for label in wanted {
            if self.get(label).is_some() {
                present.insert(label);
            } else {
                beside.extend(self.neighbours(label).into_iter().flatten());
            }
        }
        let all: BTreeSet<&[u8]> = present.iter().copied().chain(beside).collect();
        let all: Vec<&[u8]> = all.into_iter().collect();
        reveal(root, &all, &|label, value: &V| {
            if present.contains(label) {
                show(label, value)
            } else {
                pruned(value.hash())
            }
        })
    }
}

fn place<V>(node: &Arc<Node<V>>, label: &[u8], critical: Option<usize>, leaf: Arc<Node<V>>) -> Arc<Node<V>> {
    match (&**node, critical) {
        (
            Node::Fork {
                bit: at, left, right, ..
            },
            critical,
        ) if critical.is_none_or(|critical| *at < critical) => {
            if bit(label, *at) {
                Node::fork(*at, left.clone(), place(right, label, critical, leaf))
            } else {
                Node::fork(*at, place(left, label, critical, leaf), right.clone())
            }
        }
        (_, Some(critical)) if bit(label, critical) => Node::fork(critical, node.clone(), leaf),
        (_, Some(critical)) => Node::fork(critical, leaf, node.clone()),
        // The same label again.
        (_, None) => leaf,
    }
}

fn without<V>(node: &Arc<Node<V>>, label: &[u8]) -> Option<Arc<Node<V>>> {
    match &**node {
        Node::Leaf { .. } => None,
        Node::Fork {
            bit: at, left, right, ..
        } if bit(label, *at) => Some(match without(right, label) {
            Some(right) => Node::fork(*at, left.clone(), right),
            None => left.clone(),
        }),
        Node::Fork {
            bit: at, left, right, ..
        } => Some(match without(left, label) {
            Some(left) => Node::fork(*at, left, right.clone()),
            None => right.clone(),
        }),
    }
}

/// `labels` are sorted and all below `node`.
fn reveal<V>(node: &Node<V>, labels: &[&[u8]], show: &dyn Fn(&[u8], &V) -> HashTree) -> HashTree {
    if labels.is_empty() && broken(Fault::WrongPrune) {
        return pruned(node.hash().map(|byte| !byte));
    }
    if labels.is_empty() {
        return pruned(node.hash());
    }
    match node {
        Node::Leaf { label, value, .. } => labeled(&**label, show(label, value)),
        Node::Fork {
            bit: at, left, right, ..
        } => {
            let split = labels.partition_point(|label| !bit(label, *at));
            fork(
                reveal(left, &labels[..split], show),
                reveal(right, &labels[split..], show),
            )
        }
    }
}

/// See [`Trie::iter`].
#[derive(Debug)]
pub struct Iter<'a, V>(Vec<&'a Node<V>>);

impl<'a, V> Iterator for Iter<'a, V> {
    type Item = (&'a [u8], &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.0.pop()? {
                Node::Leaf { label, value, .. } => return Some((label, value)),
                Node::Fork { left, right, .. } => {
                    self.0.push(right);
                    self.0.push(left);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
