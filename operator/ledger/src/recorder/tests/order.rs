//! What is recorded, in which order, and how often.

use super::*;

#[tokio::test]
async fn an_outbox_is_recorded_in_order_with_the_block_of_each_record() {
    let mut bench = Bench::new();
    bench.recorder.submit(outbox("a", records(0..3)));
    assert_eq!(
        bench.next().await,
        Outcome::Recorded {
            key: key("a"),
            first: 0,
            blocks: vec![0, 1, 2]
        }
    );
    bench.recorder.submit(outbox("a", records(3..5)));
    assert_eq!(
        bench.next().await,
        Outcome::Recorded {
            key: key("a"),
            first: 3,
            blocks: vec![3, 4]
        }
    );
    assert_eq!(bench.ledger.records(&key("a")), records(0..5));
    assert_eq!(*bench.recorder.reachability().borrow(), Reachability::Reachable);
}

#[tokio::test]
async fn submitting_the_same_again_gives_the_same_receipts_and_writes_nothing() {
    let mut bench = Bench::new();
    bench.recorder.submit(outbox("a", records(0..3)));
    let first = bench.next().await;
    bench.recorder.submit(outbox("a", records(0..3)));
    assert_eq!(bench.next().await, first);
    assert_eq!(bench.ledger.appends(), [3]);
}

#[tokio::test]
async fn a_new_recorder_goes_on_where_a_killed_one_stopped() {
    let ledger = Arc::new(MemoryLedger::new());
    // The first one sends, but dies before it hears the answer.
    ledger.set_weather(Weather::AnswerLost);
    let mut first = Bench::with(ledger.clone(), quick());
    first.recorder.submit(outbox("a", records(0..3)));
    assert!(matches!(
        first.next().await,
        Outcome::Waiting {
            reason: "LedgerUnreachable",
            ..
        }
    ));
    drop(first);
    ledger.set_weather(Weather::Fair);
    let mut second = Bench::with(ledger.clone(), quick());
    second.recorder.submit(outbox("a", records(0..5)));
    assert_eq!(
        second.next().await,
        Outcome::Recorded {
            key: key("a"),
            first: 0,
            blocks: vec![0, 1, 2, 3, 4]
        }
    );
    assert_eq!(ledger.records(&key("a")), records(0..5));
}
