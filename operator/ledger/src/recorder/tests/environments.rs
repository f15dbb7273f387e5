//! An environment is recorded like a run, without a graph.

use dcanary_types::{
    environment::{EnvRecord, EnvTransition},
    record::Record as Typed,
};

use super::{
    super::queue::{Limits, Queue},
    *,
};
use crate::{
    ledger::{Ledger as _, Position},
    record::Answer,
};

fn story() -> Vec<Record> {
    let all = [
        EnvTransition::Opened {
            name: "shop/prod".to_owned(),
            from: None,
            approvals: 0,
            rules: [1; 32],
        },
        EnvTransition::Held {
            identity: [2; 32],
            reason: "Held".to_owned(),
            decision: None,
        },
        EnvTransition::Closed,
    ];
    let record = |(n, transition)| {
        let record: EnvRecord = Typed {
            run: "prod".to_owned(),
            n,
            claimed_ts: n,
            transition,
        };
        Record::from(&record)
    };
    (0..).zip(all).map(record).collect()
}

#[tokio::test]
async fn an_environment_needs_no_graph() {
    let mut bench = Bench::new();
    let records = story();
    for part in [&records[..1], &records[1..]] {
        bench.recorder.submit(Outbox {
            key: key("prod"),
            records: part.to_vec(),
            graph: None,
        });
        let others = bench.until("prod", part[part.len() - 1].n).await;
        assert_eq!(others, []);
    }
    assert_eq!(bench.ledger.records(&key("prod")), records);
    assert_eq!(bench.ledger.run_graph(&key("prod")).await.unwrap(), None);
}

#[test]
fn an_environment_that_is_closed_is_kept_in_mind_no_longer() {
    let all = story();
    for (records, is_known) in [(&all[..2], true), (&all[..], false)] {
        let offer = || Outbox {
            key: key("prod"),
            records: records.to_vec(),
            graph: None,
        };
        let mut queue = Queue::default();
        queue.submit(offer());
        queue.place(&key("prod"), &Position::default());
        let batch = queue.batch(Limits {
            records: 500,
            bytes: 100_000,
        });
        let blocks = (5..).take(records.len()).collect();
        queue.settle(&batch, vec![Answer::Recorded(blocks)]);
        assert_eq!(!queue.submit(offer()).is_empty(), is_known);
    }
}
