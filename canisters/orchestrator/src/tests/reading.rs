use dcanary_types::{
    api, cbor, icrc3, icrc3::GetBlocksRange, limits::MAX_ANSWER_BYTES, record::BLOCK_TYPES, tree,
};

use super::{memory::SparseMemory, world::*};
use crate::{Ceilings, Ledger, Message, StoreError};

/// A journal of 5 + 6 × `runs` blocks.
fn filled(runs: usize) -> World {
    let mut world = world();
    for i in 0..runs {
        world
            .append(EAST, segment(&format!("r{i}"), 0, &story()))
            .unwrap();
    }
    world
}

#[test]
fn labels_root_and_links_are_those_of_the_blocks() {
    let world = filled(7);
    let blocks: Vec<_> = (0..world.size()).map(|index| world.block(index)).collect();
    let mut tree = tree::Accumulator::new();
    let mut before = None;
    for block in &blocks {
        assert_eq!(block.phash, before);
        before = Some(block.hash());
        tree.append(&block.hash());
    }
    let labels = world.ledger.labels();
    assert_eq!((labels.root, labels.size), (tree.root(), blocks.len() as u64));
    assert_eq!(Some(labels.last_block_hash), before);
}

#[test]
fn an_upgrade_changes_no_label_and_the_journal_goes_on() {
    let mut world = filled(3);
    let before = world.ledger.labels();
    world.upgrade();
    assert_eq!(world.ledger.labels(), before);
    world.append(EAST, segment("more", 0, &story())).unwrap();
    let mut straight = filled(3);
    straight.append(EAST, segment("more", 0, &story())).unwrap();
    assert_eq!(world.ledger.labels(), straight.ledger.labels());
}

#[test]
fn proofs_of_every_block_and_every_size_verify() {
    let world = filled(6);
    let size = world.size();
    let root = |size| tree::root(&world.ledger, size).unwrap();
    let hashes = |proof: api::ProofResult| -> Vec<[u8; 32]> {
        proof
            .unwrap()
            .into_iter()
            .map(|hash| hash.into_vec().try_into().unwrap())
            .collect()
    };
    for index in 0..size {
        let path = hashes(world.ledger.inclusion(index, size).unwrap());
        let hash = world.block(index).hash();
        tree::verify_inclusion(&hash, index, size, &path, &world.ledger.labels().root).unwrap();
    }
    for old in 1..=size {
        let proof = hashes(world.ledger.consistency(old, size).unwrap());
        tree::verify_consistency(old, size, &root(old), &root(size), &proof).unwrap();
    }
    let refused = Ok(Err(api::ProofError::OutOfRange { size }));
    assert_eq!(world.ledger.inclusion(size, size), refused);
    assert_eq!(world.ledger.inclusion(0, size + 1), refused);
    assert_eq!(world.ledger.consistency(0, size), refused);
    assert_eq!(world.ledger.consistency(size, size + 1), refused);
    assert_eq!(world.ledger.consistency(u64::MAX, u64::MAX), refused);
}

#[test]
fn a_run_is_found_by_its_names() {
    let mut world = filled(2);
    let receipt = world.append(EAST, segment("r9", 0, &story()[..4])).unwrap();
    let ledger = &world.ledger;
    let position = api::RunPosition {
        next: 4,
        outcome: None,
        last_block: receipt[3],
    };
    assert_eq!(ledger.run_position("shop", "east", "r9"), Ok(Some(position)));
    assert_eq!(ledger.run_blocks("shop", "east", "r9", 0, 100).unwrap(), receipt);
    assert_eq!(
        ledger.run_blocks("shop", "east", "r9", 1, 2).unwrap(),
        receipt[1..3]
    );
    assert_eq!(
        ledger.run_blocks("shop", "east", "r9", 4, u64::MAX).unwrap(),
        [0_u64; 0]
    );
    assert_eq!(
        ledger
            .run_graph("shop", "east", "r9")
            .unwrap()
            .unwrap()
            .into_vec(),
        graph().encode()
    );

    let receipt = [
        receipt,
        world.append(EAST, segment("r9", 4, &story()[4..])).unwrap(),
    ]
    .concat();
    let ledger = &world.ledger;
    let outcome = Some("succeeded".to_owned());
    let position = api::RunPosition {
        next: 6,
        outcome,
        last_block: receipt[5],
    };
    assert_eq!(ledger.run_position("shop", "east", "r9"), Ok(Some(position)));
    assert_eq!(ledger.run_blocks("shop", "east", "r9", 0, 100).unwrap(), receipt);
    assert_eq!(ledger.run_graph("shop", "east", "r9"), Ok(None));
    assert_eq!(ledger.run_position("shop", "west", "r9"), Ok(None));
}

#[test]
fn answers_stop_at_their_ceiling_and_can_be_continued() {
    let mut world = world();
    // Fat blocks: images of nearly two kilobytes.
    let fat: Vec<_> = (0..500)
        .map(|i| {
            let mut opening = opened();
            if let dcanary_types::record::Transition::RunOpened { name, .. } = &mut opening {
                *name = "x".repeat(1_800);
            }
            segment(&format!("fat{i}"), 0, &[opening])
        })
        .collect();
    for who in [EAST, WEST] {
        for chunk in fat.chunks(250) {
            world.batch(who, chunk.to_vec()).unwrap();
        }
    }
    let size = world.size();
    let mut seen = 0;
    while seen < size {
        let blocks = world.ledger.blocks(seen, u64::MAX);
        let bytes: usize = blocks.iter().map(|block| block.len()).sum();
        assert!(bytes <= MAX_ANSWER_BYTES && !blocks.is_empty());
        assert!(seen + blocks.len() as u64 == size || bytes > MAX_ANSWER_BYTES - 4_096);
        seen += blocks.len() as u64;
    }
    let ranges = [GetBlocksRange {
        start: 0_u64.into(),
        length: u64::MAX.into(),
    }];
    let answer = world.ledger.icrc3_blocks(&ranges).unwrap();
    assert!(candid::encode_one(&answer).unwrap().len() < 2_000_000);
}

#[test]
fn icrc_3_shows_the_same_blocks() {
    let world = filled(1);
    let range = |start: u64, length: u64| GetBlocksRange {
        start: start.into(),
        length: length.into(),
    };
    let answer = world
        .ledger
        .icrc3_blocks(&[range(3, 2), range(0, 1), range(9, 100)])
        .unwrap();
    let ids: Vec<String> = answer.blocks.iter().map(|block| block.id.to_string()).collect();
    assert_eq!(ids, ["3", "4", "0", "9", "10"]);
    assert_eq!(answer.log_length, world.size());
    let first: icrc3::Value = cbor::decode(&world.ledger.blocks(3, 1)[0]).unwrap().into();
    assert_eq!(answer.blocks[0].block, first);
    let huge = GetBlocksRange {
        start: "340282366920938463463374607431768211456".parse().unwrap(),
        length: 1_u64.into(),
    };
    assert!(world.ledger.icrc3_blocks(&[huge]).unwrap().blocks.is_empty());
    assert_eq!(crate::icrc3::supported_block_types().len(), BLOCK_TYPES.len());
}

#[test]
fn a_ledger_is_created_once_and_opened_only_where_one_is() {
    let world = filled(0);
    let message = Message {
        caller: vec![1],
        now: START,
    };
    let again = Ledger::create(world.memory.clone(), &message, vec![1], Ceilings::default());
    assert_eq!(again.map(|_| ()), Err(StoreError::NotEmpty));
    let nothing = Ledger::open(SparseMemory::default(), Ceilings::default());
    assert_eq!(nothing.map(|_| ()), Err(StoreError::Empty));
}
