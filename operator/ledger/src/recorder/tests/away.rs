//! The chain cannot be reached.

use super::*;
use crate::memory::Fault;

#[tokio::test]
async fn while_the_chain_is_away_everything_waits_and_is_recorded_once_when_it_returns() {
    let mut bench = Bench::new();
    bench.ledger.set_weather(Weather::Away);
    bench.recorder.submit(outbox("a", records(0..4)));
    let Outcome::Waiting { reason, message, .. } = bench.next().await else {
        panic!("it waits")
    };
    assert_eq!(reason, "LedgerUnreachable");
    assert!(message.starts_with("the ledger cannot be reached"));
    let mut reachability = bench.recorder.reachability();
    assert!(matches!(*reachability.borrow(), Reachability::Away { .. }));
    bench.recorder.submit(outbox("b", records(0..2)));
    tokio::time::sleep(Duration::from_millis(60)).await;
    bench.recorder.submit(outbox("a", records(4..6)));
    bench.ledger.set_weather(Weather::Fair);
    let others = bench.until("a", 5).await;
    assert!(
        others
            .iter()
            .all(|told| !matches!(told, Outcome::Waiting { key: at, .. } if *at == key("a")))
    );
    reachability
        .wait_for(|now| *now == Reachability::Reachable)
        .await
        .unwrap();
    assert_eq!(bench.ledger.records(&key("a")), records(0..6));
    assert_eq!(bench.ledger.records(&key("b")), records(0..2));
}

#[tokio::test]
async fn positions_that_were_read_are_not_read_again_when_another_is_lost() {
    let options = RecorderOptions {
        readers: 1,
        ..quick()
    };
    let mut bench = Bench::with(Arc::new(MemoryLedger::new()), options);
    // Both are queued before anything is sent; positions are read in order of the runs.
    bench.ledger.set_weather(Weather::Away);
    bench.recorder.submit(outbox("a", records(0..2)));
    bench.recorder.submit(outbox("b", records(0..2)));
    bench.next().await;
    bench.next().await;
    bench.ledger.set_fault(&key("b"), Some(Fault::PositionLost));
    bench.ledger.set_weather(Weather::Fair);
    while bench.ledger.reads(&key("b")) < 3 {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    bench.ledger.set_fault(&key("b"), None);
    bench.until("b", 1).await;
    assert_eq!(bench.ledger.reads(&key("a")), 1);
}

#[tokio::test]
async fn with_nothing_to_record_it_is_noticed_that_the_ledger_is_away_and_that_it_is_back() {
    let options = RecorderOptions {
        look_every: Duration::from_millis(5),
        ..quick()
    };
    let bench = Bench::with(Arc::new(MemoryLedger::new()), options);
    let mut reachability = bench.recorder.reachability();
    let mut until = async |wanted: fn(&Reachability) -> bool| {
        let state = reachability.wait_for(wanted);
        drop(
            timeout(Duration::from_secs(5), state)
                .await
                .expect("in time")
                .unwrap(),
        );
    };
    until(|state| *state == Reachability::Reachable).await;
    bench.ledger.set_weather(Weather::Away);
    until(|state| matches!(state, Reachability::Away { .. })).await;
    bench.ledger.set_weather(Weather::Fair);
    until(|state| *state == Reachability::Reachable).await;
}
