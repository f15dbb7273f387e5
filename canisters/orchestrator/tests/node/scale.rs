//! What a large journal costs. `DCANARY_SOAK_BLOCKS=1000000` makes it a million blocks.

use std::time::Instant;

use dcanary_types::api::InitArg;

use crate::{
    ledger::*,
    story::{segment, story},
};

/// Records in a batch: as many whole runs as fit into 500.
const RUNS_A_BATCH: u64 = 83;
const POST_UPGRADE_CEILING: u64 = 100_000_000;
/// A batch may cost this much; an update of the network may cost 40 billion.
const APPEND_CEILING: u64 = 2_000_000_000;

async fn one_batch(ledger: &Ledger, first: u64) {
    let runs = (first..first + RUNS_A_BATCH)
        .map(|run| segment(&format!("run-{run}"), 0, &story()))
        .collect();
    let results = ledger.batch(SHOP, runs).await.unwrap().unwrap();
    assert!(results.iter().all(Result::is_ok));
}

/// Upgrades and appends; what that cost in instructions.
async fn costs(ledger: &Ledger, first: u64) -> (u64, u64) {
    ledger.upgrade(&InitArg::Upgrade).await.unwrap();
    one_batch(ledger, first).await;
    let stats = ledger.stats().await;
    (stats.upgrade_instructions, stats.append_instructions)
}

#[allow(clippy::cast_precision_loss)] // a figure for people
#[tokio::test]
async fn upgrading_and_appending_cost_the_same_in_a_small_and_a_large_journal() {
    let blocks = std::env::var("DCANARY_SOAK_BLOCKS").map_or(20_000, |blocks| blocks.parse().unwrap());
    let ledger = Ledger::start().await;
    let mut run = 0;
    for _ in 0..2 {
        one_batch(&ledger, run).await;
        run += RUNS_A_BATCH;
    }
    let small = costs(&ledger, run).await;
    run += RUNS_A_BATCH;
    let (began, before) = (Instant::now(), ledger.stats().await.blocks);
    while ledger.stats().await.blocks < blocks {
        one_batch(&ledger, run).await;
        run += RUNS_A_BATCH;
    }
    let (elapsed, size) = (began.elapsed(), ledger.stats().await);
    let large = costs(&ledger, run).await;
    let written = size.blocks - before;
    println!(
        "{} blocks, {} bytes each; {:.0} records/s by one client in batches of {}; post_upgrade {} then {} \
         instructions; append of a batch {} then {}",
        size.blocks,
        size.bytes / size.blocks,
        written as f64 / elapsed.as_secs_f64(),
        RUNS_A_BATCH * story().len() as u64,
        small.0,
        large.0,
        small.1,
        large.1,
    );
    assert!(large.0 <= POST_UPGRADE_CEILING && large.1 <= APPEND_CEILING);
    // The tree has a few more peaks to read, the indexes a level or two more to walk.
    assert!(
        large.0 < small.0 + small.0 / 2,
        "post_upgrade grows with the journal"
    );
    assert!(large.1 < small.1 + small.1 / 2, "append grows with the journal");

    let head = ledger.head().await;
    for index in [0, 1, head.size() / 2, head.size() - 1] {
        let path = ledger.proof("inclusion", index, head.size()).await;
        let block: Vec<serde_bytes::ByteBuf> = ledger.ask("blocks", (index, 1_u64)).await;
        let hash = dcanary_types::block::Block::decode(&block[0]).unwrap().hash();
        dcanary_types::tree::verify_inclusion(&hash, index, head.size(), &path, &head.root()).unwrap();
    }
}
