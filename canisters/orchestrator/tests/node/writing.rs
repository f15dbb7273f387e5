use dcanary_types::{
    api::{AppendError, BatchError, RunPosition},
    limits::{MAX_BATCH_BYTES, MAX_BATCH_RECORDS},
    record::{Body, LedgerEvent},
};

use crate::{
    ledger::*,
    network::words,
    story::{segment, started, story},
};

#[tokio::test]
async fn a_run_is_recorded_and_found_again() {
    let ledger = Ledger::start().await;
    let first = ledger.append(segment("r1", 0, &story()[..4])).await.unwrap();
    assert_eq!(first, [3, 4, 5, 6]);
    let position: Option<RunPosition> = ledger.ask("run_position", ("shop", "east", "r1")).await;
    assert_eq!(
        position,
        Some(RunPosition {
            next: 4,
            outcome: None,
            last_block: 6
        })
    );
    let graph: Option<serde_bytes::ByteBuf> = ledger.ask("run_graph", ("shop", "east", "r1")).await;
    assert_eq!(graph.unwrap().into_vec(), crate::story::graph().encode());

    ledger.append(segment("r1", 4, &story()[4..])).await.unwrap();
    let position: Option<RunPosition> = ledger.ask("run_position", ("shop", "east", "r1")).await;
    assert_eq!(position.unwrap().outcome.as_deref(), Some("succeeded"));
    let indexes: Vec<u64> = ledger
        .ask("run_blocks", ("shop", "east", "r1", 0_u64, 100_u64))
        .await;
    assert_eq!(indexes, [3, 4, 5, 6, 7, 8]);
    for (block, transition) in ledger.blocks_from(3).await.iter().zip(story()) {
        let Body::Run(record) = Body::of(block).unwrap() else {
            panic!("a record of a run")
        };
        assert_eq!(record.transition, transition);
    }
}

#[tokio::test]
async fn the_same_again_gets_the_first_receipt_and_other_content_is_a_conflict() {
    let ledger = Ledger::start().await;
    let first = ledger.append(segment("r1", 0, &story())).await.unwrap();
    assert_eq!(ledger.append(segment("r1", 0, &story())).await.unwrap(), first);
    assert_eq!(ledger.stats().await.blocks, 9);

    let mut other = segment("r1", 1, &story()[1..2]);
    other.records[0].claimed_ts += 1;
    for _ in 0..2 {
        let refused = ledger.append(other.clone()).await;
        assert_eq!(refused, Err(AppendError::Conflict { n: 1, have: first[1] }));
    }
    let blocks = ledger.blocks_from(9).await;
    assert_eq!(blocks.len(), 1);
    let event = Body::of(&blocks[0]).unwrap();
    assert!(matches!(event, Body::Ledger(LedgerEvent::Conflict { n: 1, .. })));
}

#[tokio::test]
async fn what_is_illegal_left_out_or_without_graph_is_refused_and_the_rest_is_taken() {
    let ledger = Ledger::start().await;
    let mut without = segment("r3", 0, &story());
    without.graph = None;
    let batch = vec![
        segment("r1", 0, &[story()[0].clone(), started("test", 1)]),
        segment("r2", 1, &story()[1..]),
        without,
        segment("r4", 0, &story()),
    ];
    let results = ledger.batch(SHOP, batch).await.unwrap().unwrap();
    assert!(matches!(results[0], Err(AppendError::Illegal { n: 1, .. })));
    assert_eq!(results[1], Err(AppendError::Gap { expected: 0 }));
    assert_eq!(results[2], Err(AppendError::GraphMissing));
    assert_eq!(results[3].as_ref().unwrap().blocks.len(), 6);
    assert_eq!(ledger.stats().await.blocks, 9);
}

#[tokio::test]
async fn who_has_no_role_is_turned_away_and_who_has_one_elsewhere_is_refused() {
    let ledger = Ledger::start().await;
    let refused = ledger
        .batch(STRANGER, vec![segment("r1", 0, &story())])
        .await
        .unwrap_err();
    assert!(!words(&refused).is_empty());
    let results = ledger
        .batch(BANK, vec![segment("r1", 0, &story())])
        .await
        .unwrap()
        .unwrap();
    assert_eq!(results, [Err(AppendError::NotAuthorised)]);
    assert_eq!(ledger.stats().await.blocks, 3);
}

#[tokio::test]
async fn a_batch_of_500_records_is_taken_and_more_are_not() {
    let ledger = Ledger::start().await;
    let batch = |runs: usize| {
        (0..runs)
            .map(|i| segment(&format!("r{i}"), 0, &story()[..2]))
            .collect()
    };
    let results = ledger.batch(SHOP, batch(250)).await.unwrap().unwrap();
    assert!(results.iter().all(Result::is_ok));
    let limit = MAX_BATCH_RECORDS as u64;
    let refused = ledger.batch(SHOP, batch(251)).await.unwrap();
    assert_eq!(refused, Err(BatchError::TooManyRecords { limit }));
    let mut fat = segment("fat", 0, &story());
    fat.records[0].body = vec![0; MAX_BATCH_BYTES].into();
    let limit = MAX_BATCH_BYTES as u64;
    assert_eq!(
        ledger.batch(SHOP, vec![fat]).await.unwrap(),
        Err(BatchError::TooManyBytes { limit })
    );
}
