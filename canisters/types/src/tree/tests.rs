//! The tree against the words of RFC 9162.
#![allow(clippy::maybe_infinite_iter)] // cut by `take_while`

use proptest::prelude::*;

use super::*;
use crate::value::sha256;

fn block(i: u64) -> Hash {
    sha256(&i.to_be_bytes())
}

/// MTH of RFC 9162 §2.1.1, word for word and as slow as it reads.
fn naive(blocks: &[Hash]) -> Hash {
    match blocks {
        [] => sha256(&[]),
        [one] => sha256(&[&[0], one.as_slice()].concat()),
        many => {
            let k = (1..)
                .map(|p| 1 << p)
                .take_while(|k| *k < many.len())
                .last()
                .unwrap_or(1);
            sha256(&[&[1], naive(&many[..k]).as_slice(), &naive(&many[k..])].concat())
        }
    }
}

/// PATH of RFC 9162 §2.1.3.1.
fn naive_path(m: usize, blocks: &[Hash]) -> Vec<Hash> {
    if blocks.len() == 1 {
        return vec![];
    }
    let k = (1..)
        .map(|p| 1 << p)
        .take_while(|k| *k < blocks.len())
        .last()
        .unwrap_or(1);
    let (mut path, other) = if m < k {
        (naive_path(m, &blocks[..k]), naive(&blocks[k..]))
    } else {
        (naive_path(m - k, &blocks[k..]), naive(&blocks[..k]))
    };
    path.push(other);
    path
}

/// SUBPROOF of RFC 9162 §2.1.4.1.
fn naive_subproof(m: usize, blocks: &[Hash], whole: bool) -> Vec<Hash> {
    if m == blocks.len() {
        return if whole { vec![] } else { vec![naive(blocks)] };
    }
    let k = (1..)
        .map(|p| 1 << p)
        .take_while(|k| *k < blocks.len())
        .last()
        .unwrap_or(1);
    let (mut proof, other) = if m <= k {
        (naive_subproof(m, &blocks[..k], whole), naive(&blocks[k..]))
    } else {
        (naive_subproof(m - k, &blocks[k..], false), naive(&blocks[..k]))
    };
    proof.push(other);
    proof
}

fn grown(size: u64) -> (Vec<Hash>, Vec<Hash>, Accumulator) {
    let blocks: Vec<Hash> = (0..size).map(block).collect();
    let mut tree = Accumulator::new();
    let nodes = blocks.iter().flat_map(|block| tree.append(block)).collect();
    (blocks, nodes, tree)
}

#[test]
fn roots_and_all_proofs_of_small_trees_equal_the_definition() {
    let (blocks, nodes, _) = grown(40);
    for n in 0..=40_u64 {
        let part = &blocks[..usize::try_from(n).unwrap()];
        let newer = root(&nodes, n).unwrap();
        assert_eq!(newer, naive(part), "{n}");
        for i in 0..n {
            let at = usize::try_from(i).unwrap();
            let path = inclusion(&nodes, i, n).unwrap();
            assert_eq!(path, naive_path(at, part), "{i} of {n}");
            assert_eq!(
                verify_inclusion(&part[at], i, n, &path, &newer),
                Ok(()),
                "{i} of {n}"
            );
        }
        for m in 1..=n {
            let proof = consistency(&nodes, m, n).unwrap();
            assert_eq!(
                proof,
                naive_subproof(usize::try_from(m).unwrap(), part, true),
                "{m} to {n}"
            );
            let older = root(&nodes, m).unwrap();
            assert_eq!(
                verify_consistency(m, n, &older, &newer, &proof),
                Ok(()),
                "{m} to {n}"
            );
        }
    }
}

#[test]
fn every_complete_subtree_is_found_at_its_position() {
    let (blocks, nodes, tree) = grown(300);
    assert_eq!(nodes.len() as u64, store_size(300));
    for level in 0..9 {
        for index in 0..300 >> level {
            let (from, to) = (index << level, (index + 1) << level);
            assert_eq!(
                nodes.node(position(level, index as u64)),
                Some(naive(&blocks[from..to])),
                "{level} {index}"
            );
        }
    }
    assert_eq!(tree.root(), naive(&blocks));
}

#[test]
fn positions_of_the_picture_hold() {
    let picture = [
        (0, 0, 0),
        (0, 1, 1),
        (1, 0, 2),
        (0, 2, 3),
        (0, 3, 4),
        (1, 1, 5),
        (2, 0, 6),
        (0, 4, 7),
        (1, 2, 9),
    ];
    for (level, index, at) in picture {
        assert_eq!(position(level, index), at);
    }
}

#[test]
fn positions_enumerate_the_list_without_gaps_far_out() {
    let first = (1_u64 << 40) + 5;
    let mut expected = store_size(first);
    for leaf in first..first + 64 {
        for level in 0..=(leaf + 1).trailing_zeros() {
            assert_eq!(position(level, leaf >> level), expected);
            expected += 1;
        }
    }
}

#[test]
fn questions_outside_the_tree_are_errors() {
    let (_, nodes, _) = grown(5);
    assert_eq!(
        inclusion(&nodes, 5, 5),
        Err(TreeError::NoLeaf { index: 5, size: 5 })
    );
    assert_eq!(
        consistency(&nodes, 0, 5),
        Err(TreeError::NoPair { old: 0, new: 5 })
    );
    assert_eq!(
        consistency(&nodes, 6, 5),
        Err(TreeError::NoPair { old: 6, new: 5 })
    );
    assert!(matches!(inclusion(&nodes, 0, 9), Err(TreeError::Missing(_))));
    assert_eq!(
        verify_inclusion(&block(0), 5, 5, &[], &block(0)),
        Err(ProofError::Range)
    );
    assert_eq!(
        verify_consistency(0, 5, &block(0), &block(0), &[]),
        Err(ProofError::Range)
    );
}

proptest! {
    #[test]
    fn a_tree_resumed_at_any_size_goes_on_as_if_never_stopped(size in 0_u64..200, more in 1_u64..40) {
        let (_, all, end) = grown(size + more);
        let kept = &all[..usize::try_from(store_size(size)).unwrap()];
        let mut tree = Accumulator::resume(kept, size).unwrap();
        let mut nodes = kept.to_vec();
        for i in size..size + more {
            nodes.extend(tree.append(&block(i)));
        }
        prop_assert_eq!(nodes, all);
        prop_assert_eq!(tree, end);
    }

    #[test]
    fn an_inclusion_proof_with_anything_changed_is_refused(
        size in 1_u64..200, index: prop::sample::Index, at: prop::sample::Index, kind in 0_u8..5,
    ) {
        let (blocks, nodes, tree) = grown(size);
        let i = index.index(blocks.len()) as u64;
        let mut path = inclusion(&nodes, i, size).unwrap();
        let mut leaf = block(i);
        let mut root = tree.root();
        let mut asked = i;
        match kind {
            0 => leaf[0] ^= 1,
            1 => root[31] ^= 1,
            2 if !path.is_empty() => { let at = at.index(path.len()); path[at][0] ^= 1; }
            3 if !path.is_empty() => { let at = at.index(path.len()); path.remove(at); }
            4 if size > 1 => asked = (i + 1) % size,
            _ => path.push([0; 32]),
        }
        prop_assert!(verify_inclusion(&leaf, asked, size, &path, &root).is_err());
    }

    #[test]
    fn a_consistency_proof_with_anything_changed_is_refused(
        old in 1_u64..150, more in 0_u64..150, at: prop::sample::Index, kind in 0_u8..5,
    ) {
        let new = old + more;
        let (_, nodes, tree) = grown(new);
        let mut older = root(&nodes, old).unwrap();
        let mut newer = tree.root();
        let mut proof = consistency(&nodes, old, new).unwrap();
        match kind {
            0 => older[0] ^= 1,
            1 => newer[0] ^= 1,
            2 if !proof.is_empty() => { let at = at.index(proof.len()); proof[at][0] ^= 1; }
            3 if !proof.is_empty() => { let at = at.index(proof.len()); proof.remove(at); }
            _ => proof.push([0; 32]),
        }
        prop_assert!(verify_consistency(old, new, &older, &newer, &proof).is_err());
    }
}
