//! The map against models.
#![allow(clippy::unwrap_used)]
use super::*;
use ic_certification::{LookupResult, leaf};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::ops::Bound;

#[derive(Debug, Clone, PartialEq)]
struct Text(Vec<u8>);

impl Subtree for Text {
    fn hash(&self) -> Hash {
        leaf(self.0.clone()).digest()
    }
}

fn labels() -> impl Strategy<Value = Vec<Vec<u8>>> {
    // Few letters and short labels, so that prefixes and neighbours are frequent.
    proptest::collection::vec(
        proptest::collection::vec(prop_oneof![Just(0u8), Just(1), Just(97), Just(255)], 0..4),
        0..24,
    )
}

proptest! {
    #[test]
    fn it_behaves_like_an_ordered_map(inserted in labels(), removed in labels()) {
        let mut trie = Trie::default();
        let mut model = BTreeMap::new();
        for (number, label) in inserted.iter().enumerate() {
            let value = Text(vec![u8::try_from(number).unwrap()]);
            prop_assert_eq!(trie.insert(label, value.clone()), model.insert(label.clone(), value));
        }
        for label in &removed {
            prop_assert_eq!(trie.remove(label), model.remove(label));
        }
        let listed: Vec<_> = trie.iter().map(|(label, value)| (label.to_vec(), value.clone())).collect();
        for label in inserted.iter().chain(&removed) {
            let after = model.range::<Vec<u8>, _>((Bound::Excluded(label), Bound::Unbounded)).next();
            prop_assert_eq!(trie.after(label).map(|(label, _)| label), after.map(|(label, _)| label.as_slice()));
        }
        prop_assert_eq!(listed, model.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn the_root_does_not_depend_on_history(inserted in labels(), removed in labels()) {
        let mut one = Trie::default();
        for label in inserted.iter().chain(&removed) {
            one.insert(label, Text(label.clone()));
        }
        for label in &removed {
            one.remove(label);
        }
        let mut two = Trie::default();
        for label in inserted.iter().rev().filter(|label| !removed.contains(label)) {
            two.insert(label, Text(label.clone()));
        }
        prop_assert_eq!(one.hash(), two.hash());
    }

    #[test]
    fn a_witness_has_the_root_and_proves_presence_and_absence(inserted in labels(), wanted in labels()) {
        let mut trie = Trie::default();
        for label in &inserted {
            trie.insert(label, Text(label.clone()));
        }
        let witness = trie.witness(wanted.iter().map(Vec::as_slice), &|_, value| leaf(value.0.clone()));
        prop_assert_eq!(witness.digest(), trie.hash());
        for label in &wanted {
            let expected = if inserted.contains(label) { LookupResult::Found(label) } else { LookupResult::Absent };
            prop_assert_eq!(witness.lookup_path([label]), expected);
        }
    }
}
