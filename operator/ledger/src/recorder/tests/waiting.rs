//! The ledger works, and does not take what one run offers.

use super::*;
use crate::memory::Fault;

#[tokio::test]
async fn a_missing_role_is_told_once_and_waited_for() {
    let mut bench = Bench::new();
    bench.ledger.set_weather(Weather::Later(
        "NotAuthorised",
        "no role in project shop".to_owned(),
    ));
    bench.recorder.submit(outbox("a", records(0..1)));
    let Outcome::Waiting { reason, message, .. } = bench.next().await else {
        panic!("it waits")
    };
    assert_eq!(
        (reason, message.as_str()),
        ("NotAuthorised", "no role in project shop")
    );
    tokio::time::sleep(Duration::from_millis(30)).await;
    bench.ledger.set_weather(Weather::Fair);
    assert_eq!(bench.until("a", 0).await, []);
}

#[tokio::test]
async fn a_run_without_a_role_does_not_hold_up_the_others() {
    let hour = Duration::from_secs(3600);
    let options = RecorderOptions {
        min_pause: hour,
        max_pause: hour,
        ..quick()
    };
    let mut bench = Bench::with(Arc::new(MemoryLedger::new()), options);
    bench.ledger.set_weather(Weather::Later(
        "NotAuthorised",
        "no role in project shop".to_owned(),
    ));
    bench.recorder.submit(outbox("a", records(0..1)));
    assert!(matches!(bench.next().await, Outcome::Waiting { .. }));
    bench.ledger.set_weather(Weather::Fair);
    bench.recorder.submit(outbox("b", records(0..1)));
    bench.until("b", 0).await;
}

fn no_role() -> Fault {
    Fault::Later("NotAuthorised", "no role in project shop".to_owned())
}

/// A bench whose first pause never ends.
fn patient() -> Bench {
    let hour = Duration::from_secs(3600);
    let options = RecorderOptions {
        min_pause: hour,
        max_pause: hour,
        ..quick()
    };
    Bench::with(Arc::new(MemoryLedger::new()), options)
}

#[tokio::test]
async fn a_run_that_waits_for_a_role_is_not_sent_again_with_the_work_of_others() {
    let mut bench = patient();
    bench.ledger.set_fault(&key("a"), Some(no_role()));
    bench.recorder.submit(outbox("a", records(0..1)));
    assert!(matches!(bench.next().await, Outcome::Waiting { .. }));
    for n in 0..5 {
        bench.recorder.submit(outbox("b", records(n..n + 1)));
        bench.until("b", n).await;
        bench.recorder.submit(outbox("a", records(0..2)));
    }
    assert_eq!(bench.ledger.offers(&key("a")), 1);
}

#[tokio::test]
async fn a_run_that_waits_for_a_role_does_not_make_the_ledger_away() {
    let mut bench = patient();
    bench.ledger.set_fault(&key("a"), Some(no_role()));
    bench.recorder.submit(outbox("a", records(0..1)));
    assert!(matches!(bench.next().await, Outcome::Waiting { .. }));
    let mut reachability = bench.recorder.reachability();
    let reachable = reachability.wait_for(|state| *state == Reachability::Reachable);
    timeout(Duration::from_secs(5), reachable).await.unwrap().unwrap();
}

#[tokio::test]
async fn after_an_outage_the_ledger_is_reachable_although_a_run_waits_for_a_role() {
    let mut bench = Bench::new();
    bench.ledger.set_weather(Weather::Away);
    bench.ledger.set_fault(&key("a"), Some(no_role()));
    bench.recorder.submit(outbox("a", records(0..1)));
    let mut reachability = bench.recorder.reachability();
    let away = reachability.wait_for(|state| matches!(state, Reachability::Away { .. }));
    timeout(Duration::from_secs(5), away).await.unwrap().unwrap();
    bench.ledger.set_weather(Weather::Fair);
    let back = reachability.wait_for(|state| *state == Reachability::Reachable);
    timeout(Duration::from_secs(5), back).await.unwrap().unwrap();
    bench.ledger.set_fault(&key("a"), None);
    bench.until("a", 0).await;
}

#[tokio::test]
async fn a_position_that_is_not_proven_delays_its_run_only_and_is_asked_for_again() {
    let mut bench = Bench::new();
    bench.ledger.set_fault(&key("a"), Some(Fault::PositionUnproven));
    bench.recorder.submit(outbox("a", records(0..1)));
    let Outcome::Waiting { key: who, reason, .. } = bench.next().await else {
        panic!("it waits")
    };
    assert_eq!((who, reason), (key("a"), "LedgerUnproven"));
    bench.recorder.submit(outbox("b", records(0..1)));
    bench.until("b", 0).await;
    assert!(!matches!(
        *bench.recorder.reachability().borrow(),
        Reachability::Away { .. }
    ));
    bench.ledger.set_fault(&key("a"), None);
    bench.until("a", 0).await;
}
