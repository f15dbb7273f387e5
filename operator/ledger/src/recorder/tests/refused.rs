//! What the chain will never take, and runs that are gone.

use std::collections::HashSet;

use super::*;
use crate::memory::Fault;

#[tokio::test]
async fn a_refused_record_is_told_after_those_before_it_are_recorded_and_is_replaced() {
    let mut bench = Bench::new();
    bench.ledger.refuse(&key("a"), 2, "started before its needs");
    bench.recorder.submit(outbox("a", records(0..4)));
    assert_eq!(
        bench.next().await,
        Outcome::Recorded {
            key: key("a"),
            first: 0,
            blocks: vec![0, 1]
        }
    );
    let Outcome::Refused { n, reason, .. } = bench.next().await else {
        panic!("it is refused")
    };
    assert_eq!((n, reason.as_str()), (2, "started before its needs"));
    let refused = Record {
        btype: "dcanary_record_refused".to_owned(),
        ..record(2, "why")
    };
    bench
        .recorder
        .submit(outbox("a", vec![refused.clone(), record(3, "r3")]));
    assert_eq!(
        bench.next().await,
        Outcome::Recorded {
            key: key("a"),
            first: 2,
            blocks: vec![2, 3]
        }
    );
    assert_eq!(bench.ledger.records(&key("a"))[2], refused);
}

#[tokio::test]
async fn a_refused_run_stops_no_other() {
    let mut bench = Bench::new();
    bench.ledger.refuse(&key("a"), 0, "malformed");
    bench.recorder.submit(outbox("a", records(0..1)));
    assert!(matches!(bench.next().await, Outcome::Refused { n: 0, .. }));
    bench.recorder.submit(outbox("b", records(0..1)));
    bench.until("b", 0).await;
}

#[tokio::test]
async fn other_content_for_a_recorded_number_is_a_conflict() {
    let ledger = Arc::new(MemoryLedger::new());
    let mut bench = Bench::with(ledger.clone(), quick());
    bench.recorder.submit(outbox("a", records(0..2)));
    bench.until("a", 1).await;
    bench.recorder.submit(outbox("a", vec![record(1, "other")]));
    assert_eq!(
        bench.next().await,
        Outcome::Conflict {
            key: key("a"),
            n: 1,
            have: 1
        }
    );
    // A restored etcd: the new operator does not know what was recorded.
    let mut restored = Bench::with(ledger.clone(), quick());
    restored.recorder.submit(outbox("a", vec![record(0, "r0")]));
    assert_eq!(
        restored.next().await,
        Outcome::Ahead {
            key: key("a"),
            next: 2
        }
    );
    assert_eq!(
        restored.next().await,
        Outcome::Recorded {
            key: key("a"),
            first: 0,
            blocks: vec![0]
        }
    );
    assert_eq!(ledger.records(&key("a")), records(0..2));
}

async fn depth_is(recorder: &Recorder, wanted: usize) {
    let mut depths = recorder.depths();
    let reached = depths.wait_for(|depth| *depth == wanted);
    timeout(Duration::from_secs(5), reached).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_stuck_run_that_is_gone_is_forgotten_and_its_records_do_not_count_any_more() {
    let mut bench = Bench::new();
    bench.ledger.refuse(&key("a"), 0, "malformed");
    bench.recorder.submit(outbox("a", records(0..3)));
    assert!(matches!(bench.next().await, Outcome::Refused { .. }));
    bench.recorder.submit(outbox("b", records(4..6)));
    assert!(matches!(bench.next().await, Outcome::Missing { .. }));
    depth_is(&bench.recorder, 5).await;
    bench.recorder.retain(HashSet::from(["b".to_owned()]));
    depth_is(&bench.recorder, 2).await;
    bench.recorder.retain(HashSet::new());
    depth_is(&bench.recorder, 0).await;
}

#[tokio::test]
async fn a_run_that_is_gone_is_still_recorded_when_the_chain_takes_it_later() {
    let mut bench = Bench::new();
    let role = Fault::Later("NotAuthorised", "no role".to_owned());
    bench.ledger.set_fault(&key("a"), Some(role));
    bench.recorder.submit(outbox("a", records(0..3)));
    assert!(matches!(bench.next().await, Outcome::Waiting { .. }));
    bench.recorder.retain(HashSet::new());
    bench.ledger.set_fault(&key("a"), None);
    bench.until("a", 2).await;
}

#[tokio::test]
async fn a_run_that_is_forgotten_leaves_nothing() {
    let mut bench = Bench::new();
    bench.ledger.set_weather(Weather::Away);
    bench.recorder.submit(outbox("a", records(0..3)));
    assert!(matches!(bench.next().await, Outcome::Waiting { .. }));
    bench.recorder.forget(key("a"));
    depth_is(&bench.recorder, 0).await;
    bench.ledger.set_weather(Weather::Fair);
    bench.recorder.submit(outbox("b", records(0..1)));
    bench.until("b", 0).await;
    assert_eq!(bench.ledger.records(&key("a")), []);
}
