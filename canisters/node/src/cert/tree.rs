//! Small trees with fixed content, and the selection of what a certificate reveals.

use super::trie::{Hash, Subtree, Trie};
use ic_certification::{HashTree, leaf};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A labelled tree held in memory as a whole; for everything that is small.
#[derive(Debug, Clone)]
pub enum Tree {
    /// A value.
    Leaf(Arc<[u8]>),
    /// Labelled children.
    Map(Trie<Tree>),
}

impl Subtree for Tree {
    fn hash(&self) -> Hash {
        match self {
            Self::Leaf(bytes) => ic_certification::hash_tree::leaf_hash(bytes),
            Self::Map(children) => children.hash(),
        }
    }
}

impl Tree {
    /// A value.
    pub fn leaf(bytes: impl AsRef<[u8]>) -> Self {
        Self::Leaf(bytes.as_ref().into())
    }

    /// Labelled children.
    pub fn map<L: AsRef<[u8]>>(children: impl IntoIterator<Item = (L, Tree)>) -> Self {
        let mut map = Trie::default();
        for (label, child) in children {
            map.insert(label.as_ref(), child);
        }
        Self::Map(map)
    }

    /// What is wanted of the tree, the rest pruned.
    pub fn reveal(&self, wanted: &Wanted) -> HashTree {
        match (self, wanted) {
            (Self::Leaf(bytes), _) => leaf(bytes.to_vec()),
            (Self::Map(children), Wanted::All) => {
                let all: Vec<&[u8]> = children.iter().map(|(label, _)| label).collect();
                children.witness(all, &|_, child| child.reveal(&Wanted::All))
            }
            (Self::Map(children), Wanted::Below(labels)) => children.witness(
                labels.keys().map(Vec::as_slice),
                &|label, child| match labels.get(label) {
                    Some(below) => child.reveal(below),
                    None => ic_certification::pruned(child.hash()),
                },
            ),
        }
    }
}

/// Which part of a tree to reveal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// Everything.
    All,
    /// These labels, and of each what is wanted below.
    Below(BTreeMap<Vec<u8>, Wanted>),
}

impl Default for Wanted {
    fn default() -> Self {
        Self::Below(BTreeMap::new())
    }
}

impl Wanted {
    /// Adds everything below a path.
    pub fn add(&mut self, path: &[&[u8]]) {
        match (path, &mut *self) {
            (_, Self::All) => {}
            ([], _) => *self = Self::All,
            ([first, rest @ ..], Self::Below(labels)) => labels.entry(first.to_vec()).or_default().add(rest),
        }
    }

    /// What is wanted below a label; `None` when nothing is.
    pub fn below(&self, label: &[u8]) -> Option<&Self> {
        match self {
            Self::All => Some(self),
            Self::Below(labels) => labels.get(label),
        }
    }
}
