//! What a run lacks is asked for until it comes.

use super::*;
use crate::ledger::Ledger as _;

#[tokio::test]
async fn sealed_records_are_asked_for_and_go_first() {
    let mut bench = Bench::new();
    bench.recorder.submit(outbox("a", records(32..40)));
    assert_eq!(
        bench.next().await,
        Outcome::Missing {
            key: key("a"),
            from: 0,
            to: 31
        }
    );
    bench.recorder.submit(outbox("a", records(0..32)));
    bench.until("a", 39).await;
    assert_eq!(bench.ledger.records(&key("a")), records(0..40));
}

#[tokio::test]
async fn a_graph_that_is_missing_is_asked_for() {
    let mut bench = Bench::new();
    bench.recorder.submit(Outbox {
        key: key("a"),
        records: records(0..1),
        graph: None,
    });
    assert_eq!(bench.next().await, Outcome::GraphMissing { key: key("a") });
    bench.recorder.submit(outbox("a", records(0..1)));
    bench.until("a", 0).await;
    assert_eq!(
        bench.ledger.run_graph(&key("a")).await.unwrap().unwrap(),
        b"graph"
    );
}

#[tokio::test]
async fn missing_records_are_asked_for_again_when_nobody_hands_them_back() {
    let mut bench = Bench::new();
    bench.recorder.submit(outbox("a", records(32..34)));
    let missing = Outcome::Missing {
        key: key("a"),
        from: 0,
        to: 31,
    };
    for _ in 0..3 {
        assert_eq!(bench.next().await, missing);
    }
    // Only a part of them comes: the rest is asked for.
    bench.recorder.submit(outbox("a", records(0..16)));
    let rest = Outcome::Missing {
        key: key("a"),
        from: 16,
        to: 31,
    };
    let others = bench.until("a", 15).await;
    assert!(others.iter().all(|told| *told == missing), "{others:?}");
    for _ in 0..2 {
        assert_eq!(bench.next().await, rest);
    }
    bench.recorder.submit(outbox("a", records(16..32)));
    bench.until("a", 33).await;
    assert_eq!(bench.ledger.records(&key("a")), records(0..34));
}

#[tokio::test]
async fn a_missing_graph_is_asked_for_again_when_nobody_hands_it_over() {
    let mut bench = Bench::new();
    bench.recorder.submit(Outbox {
        key: key("a"),
        records: records(0..1),
        graph: None,
    });
    for _ in 0..3 {
        assert_eq!(bench.next().await, Outcome::GraphMissing { key: key("a") });
    }
    bench.recorder.submit(outbox("a", records(0..1)));
    bench.until("a", 0).await;
}
