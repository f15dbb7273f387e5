//! Laws of the queue, and its limits.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{
    super::queue::{Limits, Queue},
    *,
};
use crate::{
    ledger::Position,
    record::{Answer, Segment},
};

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
            for key in queue.unread(usize::MAX) {
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
