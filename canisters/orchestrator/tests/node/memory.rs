//! What blocks cost the node that holds them, and what happens when it is full.

use dcanary_node::Config;
use dcanary_types::api::{AppendError, RoleError};

use crate::{
    ledger::*,
    story::{segment, story},
};

/// Records in a batch: as many whole runs as fit into 500.
const RUNS_A_BATCH: u64 = 83;
/// What a block of these runs may cost the node: itself (259 bytes), its nodes of the tree, its receipt, its share of the run.
/// `canisters/node/README.md` derives from it how large a journal may become.
const BYTES_A_BLOCK: u64 = 550;
/// Under the least memory limit that the node takes for a ledger (448 MiB) this much is left for canisters.
const LEAST_SHARE: u64 = 192 << 20;

async fn batch(ledger: &Ledger, first: u64) -> Vec<Result<(), AppendError>> {
    let runs = (first..first + RUNS_A_BATCH)
        .map(|run| segment(&format!("3c2a9f1e-0000-4000-8000-{run:012}"), 0, &story()))
        .collect();
    let results = ledger.batch(SHOP, runs).await.unwrap().unwrap();
    results.into_iter().map(|result| result.map(|_| ())).collect()
}

#[tokio::test]
async fn a_block_costs_the_node_no_more_memory_than_the_chart_reckons_with() {
    let blocks = std::env::var("DCANARY_SOAK_BLOCKS").map_or(50_000, |blocks| blocks.parse().unwrap());
    let ledger = Ledger::start().await;
    let mut run = 0;
    // The first blocks take memory that the next ones use too.
    while ledger.stats().await.blocks < blocks / 5 {
        assert!(batch(&ledger, run).await.iter().all(Result::is_ok));
        run += RUNS_A_BATCH;
    }
    let (few, before) = (ledger.stats().await.blocks, ledger.network.node.memory());
    while ledger.stats().await.blocks < blocks {
        assert!(batch(&ledger, run).await.iter().all(Result::is_ok));
        run += RUNS_A_BATCH;
    }
    let (many, after) = (ledger.stats().await.blocks, ledger.network.node.memory());
    let each = (after.held - before.held) / (many - few);
    println!(
        "{many} blocks: {each} bytes of memory each; {} bytes held and {} counted in all",
        after.held, after.counted
    );
    assert!(each <= BYTES_A_BLOCK, "{each} bytes a block");
}

#[tokio::test]
async fn a_node_without_memory_refuses_records_as_a_full_journal_and_still_proves_what_it_has() {
    let ledger = Ledger::start_on(Config::ephemeral().memory_limit(LEAST_SHARE)).await;
    let mut run = 0;
    let refused = loop {
        let results = batch(&ledger, run).await;
        run += RUNS_A_BATCH;
        if let Some(refused) = results.into_iter().find_map(Result::err) {
            break refused;
        }
    };
    assert_eq!(refused, AppendError::JournalFull);
    let size = ledger.stats().await.blocks;
    assert!(size > 5_000, "full after {size} blocks");
    assert_eq!(
        ledger.append(segment("more", 0, &story())).await,
        Err(AppendError::JournalFull)
    );
    assert_eq!(
        ledger
            .role("grant_role", OWNER, &operator(STRANGER, "shop"))
            .await
            .unwrap(),
        Err(RoleError::JournalFull)
    );
    assert!(ledger.network.node.memory().counted <= LEAST_SHARE);
    // What is there is served and proven.
    let head = ledger.head().await;
    assert_eq!(head.size(), size);
    let path = ledger.proof("inclusion", size - 1, size).await;
    let block: Vec<serde_bytes::ByteBuf> = ledger.ask("blocks", (size - 1, 1_u64)).await;
    let hash = dcanary_types::block::Block::decode(&block[0]).unwrap().hash();
    dcanary_types::tree::verify_inclusion(&hash, size - 1, size, &path, &head.root()).unwrap();
}
