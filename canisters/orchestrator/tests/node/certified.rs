use dcanary_types::{
    api::{ProofError, ProofResult, Protocol},
    icrc3::{Archive, GetArchivesArgs, GetBlocksRange, GetBlocksResult, SupportedBlockType},
    record::BLOCK_TYPES,
    tree,
};

use crate::{
    ledger::*,
    story::{segment, story},
};

#[tokio::test]
async fn the_certified_head_is_that_of_the_blocks_after_every_message() {
    let ledger = Ledger::start().await;
    let mut before: Option<dcanary_types::Hash> = None;
    let mut grown = tree::Accumulator::new();
    for message in 0..4 {
        for block in ledger.blocks_from(grown.size()).await {
            assert_eq!(block.phash, before);
            before = Some(block.hash());
            grown.append(&block.hash());
        }
        let head = ledger.head().await;
        assert_eq!((head.size(), head.root()), (grown.size(), grown.root()));
        assert_eq!(Some(head.last_hash()), before);
        ledger
            .append(segment(&format!("r{message}"), 0, &story()))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn every_block_is_proven_to_be_in_the_certified_tree() {
    let ledger = Ledger::start().await;
    for run in ["r1", "r2"] {
        ledger.append(segment(run, 0, &story())).await.unwrap();
    }
    let head = ledger.head().await;
    for (index, block) in ledger.blocks_from(0).await.iter().enumerate() {
        let index = index as u64;
        let path = ledger.proof("inclusion", index, head.size()).await;
        tree::verify_inclusion(&block.hash(), index, head.size(), &path, &head.root()).unwrap();
    }
}

#[tokio::test]
async fn each_certified_head_is_proven_to_continue_the_ones_before() {
    let ledger = Ledger::start().await;
    let mut heads = vec![ledger.head().await];
    for run in ["r1", "r2", "r3"] {
        ledger.append(segment(run, 0, &story())).await.unwrap();
        heads.push(ledger.head().await);
    }
    let last = heads.last().unwrap();
    for old in &heads {
        let proof = ledger.proof("consistency", old.size(), last.size()).await;
        tree::verify_consistency(old.size(), last.size(), &old.root(), &last.root(), &proof).unwrap();
    }
    let beyond: ProofResult = ledger.ask("consistency", (1_u64, last.size() + 1)).await;
    assert_eq!(beyond, Err(ProofError::OutOfRange { size: last.size() }));
}

#[tokio::test]
async fn the_icrc_3_face_shows_the_journal() {
    let ledger = Ledger::start().await;
    let range = GetBlocksRange {
        start: 0_u64.into(),
        length: 10_u64.into(),
    };
    let answer: GetBlocksResult = ledger.ask("icrc3_get_blocks", (vec![range],)).await;
    assert_eq!((answer.log_length, answer.blocks.len()), (3_u64.into(), 3));
    for (shown, block) in answer.blocks.iter().zip(ledger.blocks_from(0).await) {
        assert_eq!(shown.block, block.to_value().into());
    }
    let archives: Vec<Archive> = ledger
        .ask("icrc3_get_archives", (GetArchivesArgs { from: None },))
        .await;
    assert!(archives.is_empty());
    let types: Vec<SupportedBlockType> = ledger.ask("icrc3_supported_block_types", ()).await;
    assert!(
        types
            .iter()
            .map(|known| known.block_type.as_str())
            .eq(BLOCK_TYPES)
    );
    let protocol: Protocol = ledger.ask("protocol", ()).await;
    assert_eq!((protocol.min, protocol.max), (1, 1));
}

#[tokio::test]
async fn the_interface_is_published_with_the_wasm() {
    let ledger = Ledger::start().await;
    let agent = ledger.agent(STRANGER);
    let published = agent
        .read_state_canister_metadata(ledger.id, "candid:service")
        .await
        .unwrap();
    assert_eq!(
        String::from_utf8(published).unwrap(),
        include_str!("../../orchestrator.did")
    );
}
