//! The layout of stable memory is for ever: what version 1 of the canister left is opened by every later one.
//!
//! `fixtures/stable-v1.bin` is that memory, and `fixtures/stable-v1.root` what was certified of it. They are never written
//! again. When the layout grows by intention, the new one gets files of its own beside them
//! (`DCANARY_WRITE_STABLE_IMAGE=FILE`) and the first test is repeated for it.

use dcanary_types::api::{AppendError, BatchError};

use super::{memory::SparseMemory, world::*};
use crate::{Ceilings, Ledger, certify, memory};

const IMAGE: &[u8] = include_bytes!("fixtures/stable-v1.bin");
const ROOT: &str = include_str!("fixtures/stable-v1.root");
/// Blocks in it.
const BLOCKS: u64 = 16;
/// `append` messages that EAST sent for it.
const MESSAGES: u64 = 3;

/// Something in every memory: roles, an open run, an ended one, a conflict.
fn lived() -> World {
    let mut world = world();
    let begun = [opened(), started("build", 1), retried("build", 1)];
    world.append(EAST, segment("open", 0, &begun)).unwrap();
    world.append(EAST, segment("ended", 0, &story())).unwrap();
    world.append(EAST, offered_again()).unwrap_err();
    let mut elsewhere = segment("open", 0, &story()[..1]);
    elsewhere.project = "bank".to_owned();
    world.append(BANK, elsewhere).unwrap();
    world
}

/// The first record of the ended run with another time.
fn offered_again() -> dcanary_types::api::Segment {
    let mut other = segment("ended", 0, &story()[..1]);
    other.records[0].claimed_ts += 1;
    other
}

/// What an upgraded canister finds.
fn upgraded(ceilings: Ceilings) -> World {
    let memory = SparseMemory::from_image(IMAGE);
    let ledger = Ledger::open(memory.clone(), ceilings).unwrap();
    World {
        ledger,
        memory,
        now: START + 1_000_000_000,
    }
}

fn root(world: &World) -> String {
    hex::encode(certify::root(&world.ledger.labels()))
}

#[test]
fn the_memory_of_version_1_is_opened_and_certifies_the_same_root() {
    let world = upgraded(Ceilings::default());
    assert_eq!(root(&world), ROOT.trim());
    assert_eq!(world.size(), BLOCKS);
    let mut before = None;
    for index in 0..BLOCKS {
        let block = world.block(index);
        assert_eq!(block.phash, before);
        before = Some(block.hash());
    }
    assert_eq!(before, Some(world.ledger.tip()));
    let model = lived();
    for who in [OWNER, EAST, EAST_TOO, WEST, BANK] {
        assert!(world.ledger.has_role(principal(who).as_slice()), "{who}");
    }
    assert!(!world.ledger.has_role(principal(STRANGER).as_slice()));
    assert_eq!(world.ledger.policy(), model.ledger.policy());
    for (project, run) in [
        ("shop", "open"),
        ("shop", "ended"),
        ("bank", "open"),
        ("shop", "never"),
    ] {
        let asked = (project, "east", run);
        let position = |world: &World| world.ledger.run_position(asked.0, asked.1, asked.2).unwrap();
        assert_eq!(position(&world), position(&model), "{asked:?}");
        let graph = |world: &World| world.ledger.run_graph(asked.0, asked.1, asked.2).unwrap();
        assert_eq!(graph(&world), graph(&model), "{asked:?}");
        let blocks = |world: &World| {
            world
                .ledger
                .run_blocks(asked.0, asked.1, asked.2, 0, 100)
                .unwrap()
        };
        assert_eq!(blocks(&world), blocks(&model), "{asked:?}");
    }
    for index in 0..BLOCKS {
        assert_eq!(
            world.ledger.inclusion(index, BLOCKS).unwrap(),
            model.ledger.inclusion(index, BLOCKS).unwrap()
        );
    }
}

#[test]
fn the_ledger_of_version_1_goes_on() {
    let mut world = upgraded(Ceilings::default());
    // Receipts and conflicts are remembered: nothing new is written for them.
    world.append(EAST, segment("ended", 0, &story())).unwrap();
    assert!(matches!(
        world.append(EAST, offered_again()),
        Err(AppendError::Conflict { n: 0, .. })
    ));
    assert_eq!(world.size(), BLOCKS);
    let more = [started("build", 2), succeeded("build", 2)];
    assert_eq!(
        world.append(EAST, segment("open", 3, &more)).unwrap(),
        [BLOCKS, BLOCKS + 1]
    );
}

#[test]
fn what_principals_used_under_version_1_is_remembered() {
    let mut world = upgraded(Ceilings {
        messages_an_hour: MESSAGES,
        ..Ceilings::default()
    });
    assert!(matches!(
        world.batch(EAST, vec![]),
        Err(BatchError::RateLimited { .. })
    ));
    assert!(world.batch(WEST, vec![]).is_ok());
    let mut world = upgraded(Ceilings {
        open_runs: 1,
        ..Ceilings::default()
    });
    let refused = world.append(EAST, segment("more", 0, &story()));
    assert_eq!(refused, Err(AppendError::RunLimit { limit: 1 }));
}

#[test]
fn the_present_canister_lays_memory_out_as_version_1_did() {
    let world = lived();
    if let Some(file) = std::env::var_os("DCANARY_WRITE_STABLE_IMAGE") {
        let file = std::path::PathBuf::from(file);
        std::fs::write(&file, world.memory.to_image()).unwrap();
        std::fs::write(file.with_extension("root"), root(&world) + "\n").unwrap();
    }
    assert_eq!(world.size(), BLOCKS);
    assert_eq!(root(&world), ROOT.trim());
    let image = world.memory.to_image();
    // Not `assert_eq`: it would print both.
    let differs = image.iter().zip(IMAGE).position(|(now, then)| now != then);
    assert!(
        image == IMAGE,
        "{} bytes instead of {}; the first difference is at {differs:?} of the image",
        image.len(),
        IMAGE.len()
    );
}

#[test]
fn an_image_is_the_memory_that_it_was_made_of() {
    assert_eq!(SparseMemory::from_image(IMAGE).to_image(), IMAGE);
    // Magic, layout version and bucket size of the memory manager.
    let mut head = [0; 8];
    ic_stable_structures::Memory::read(&SparseMemory::from_image(IMAGE), 0, &mut head);
    assert_eq!(&head[..4], b"MGR\x01");
    assert_eq!(u16::from_le_bytes([head[6], head[7]]), memory::BUCKET_PAGES);
}
