use std::{collections::BTreeMap, sync::Arc, time::Duration};

use proptest::prelude::*;
use tokio::{sync::mpsc, time::timeout};

use super::{
    queue::{Limits, Queue},
    *,
};
use crate::{
    ledger::{Ledger as _, Position},
    memory::{MemoryLedger, Weather},
    record::{Answer, Segment},
};

fn key(run: &str) -> RunKey {
    RunKey::new("shop", "east", run)
}

fn record(n: u64, text: &str) -> Record {
    Record {
        n,
        btype: "dcanary_stage_started".to_owned(),
        claimed_ts: n,
        body: text.as_bytes().to_vec(),
    }
}

fn records(range: std::ops::Range<u64>) -> Vec<Record> {
    range.map(|n| record(n, &format!("r{n}"))).collect()
}

fn outbox(run: &str, records: Vec<Record>) -> Outbox {
    Outbox {
        key: key(run),
        records,
        graph: Some(b"graph".to_vec()),
    }
}

fn quick() -> RecorderOptions {
    RecorderOptions {
        min_pause: Duration::from_millis(2),
        max_pause: Duration::from_millis(20),
        ..RecorderOptions::default()
    }
}

struct Bench {
    ledger: Arc<MemoryLedger>,
    recorder: Recorder,
    outcomes: mpsc::UnboundedReceiver<Outcome>,
}

impl Bench {
    fn new() -> Self {
        Self::with(Arc::new(MemoryLedger::new()), quick())
    }

    fn with(ledger: Arc<MemoryLedger>, options: RecorderOptions) -> Self {
        let (recorder, outcomes) = Recorder::start(ledger.clone(), options);
        Self {
            ledger,
            recorder,
            outcomes,
        }
    }

    async fn next(&mut self) -> Outcome {
        timeout(Duration::from_secs(5), self.outcomes.recv())
            .await
            .expect("an outcome in time")
            .unwrap()
    }

    /// Waits until records up to `n` of a run are recorded; answers what else was told meanwhile.
    async fn until(&mut self, run: &str, n: u64) -> Vec<Outcome> {
        let mut others = Vec::new();
        loop {
            match self.next().await {
                Outcome::Recorded {
                    key: at,
                    first,
                    blocks,
                } if at == key(run) => {
                    if first + blocks.len() as u64 > n {
                        return others;
                    }
                }
                other => others.push(other),
            }
        }
    }
}

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

#[tokio::test]
async fn batches_keep_their_limits_and_runs_take_turns() {
    let ledger = Arc::new(MemoryLedger::new());
    ledger.set_weather(Weather::Away);
    let mut bench = Bench::with(
        ledger.clone(),
        RecorderOptions {
            records: 5,
            ..quick()
        },
    );
    for run in ["a", "b", "c"] {
        bench.recorder.submit(outbox(run, records(0..8)));
    }
    for _ in 0..3 {
        bench.next().await;
    }
    ledger.set_weather(Weather::Fair);
    for run in ["a", "b", "c"] {
        timeout(Duration::from_secs(5), async {
            while ledger.records(&key(run)).len() < 8 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await
        .unwrap();
        assert_eq!(ledger.records(&key(run)), records(0..8));
    }
    assert!(ledger.appends().iter().all(|n| *n <= 5), "{:?}", ledger.appends());
}

#[test]
fn a_batch_is_never_heavier_than_allowed() {
    let mut queue = Queue::default();
    let heavy = |n| Record {
        body: vec![0; 1_000],
        ..record(n, "")
    };
    for run in ["a", "b", "c"] {
        queue.submit(outbox(run, (0..100).map(heavy).collect()));
        queue.place(&key(run), &Position::default());
    }
    let batch = queue.batch(Limits {
        records: 500,
        bytes: 20_000,
    });
    let weight: usize = batch
        .iter()
        .flat_map(|segment| &segment.records)
        .map(|r| r.body.len() + 40)
        .sum();
    assert!(weight < 20_000 && weight > 15_000, "{weight}");
}

proptest! {
    /// Whatever arrives in whatever pieces, and whatever gets lost: each run is recorded without gap, once, in order.
    #[test]
    fn nothing_is_lost_doubled_or_reordered(
        steps in prop::collection::vec((0u8..3, 0u64..12, 1u64..6, any::<bool>(), any::<bool>()), 1..60),
        limit in 1usize..9,
    ) {
        let mut queue = Queue::default();
        let mut chain: BTreeMap<RunKey, Vec<Record>> = BTreeMap::new();
        let names = ["a", "b", "c"];
        let round = |queue: &mut Queue, chain: &mut BTreeMap<RunKey, Vec<Record>>, lost: bool| {
            for key in queue.unread() {
                let next = chain.get(&key).map_or(0, Vec::len) as u64;
                queue.place(&key, &Position { next, last: None });
            }
            let batch = queue.batch(Limits { records: limit, bytes: 100_000 });
            let answers: Vec<Answer> = batch.iter().map(|segment| on_chain(chain, segment)).collect();
            if lost { queue.distrust() } else { queue.settle(&batch, answers); }
        };
        for (run, first, len, lost, crash) in steps {
            let run = names[usize::from(run)];
            queue.submit(outbox(run, records(first..first + len)));
            round(&mut queue, &mut chain, lost);
            if crash { queue = Queue::default(); }
        }
        for run in names { queue.submit(outbox(run, records(0..18))); }
        for _ in 0..200 { round(&mut queue, &mut chain, false); }
        for run in names { prop_assert_eq!(&chain[&key(run)], &records(0..18)); }
        prop_assert_eq!(queue.depth(), 0);
    }
}

fn on_chain(chain: &mut BTreeMap<RunKey, Vec<Record>>, segment: &Segment) -> Answer {
    let have = chain.entry(segment.key.clone()).or_default();
    let next = have.len() as u64;
    let first = segment.records[0].n;
    if first > next {
        return Answer::Gap { expected: next };
    }
    for record in &segment.records {
        match have.get(usize::try_from(record.n).unwrap()) {
            Some(old) => assert_eq!(old, record),
            None => have.push(record.clone()),
        }
    }
    Answer::Recorded((first..first + segment.records.len() as u64).collect())
}
