//! The recorder against a ledger in memory, by concept.
use std::{sync::Arc, time::Duration};

use tokio::{sync::mpsc, time::timeout};

use super::*;
use crate::memory::{MemoryLedger, Weather};

mod away;
mod cost;
mod environments;
mod laws;
mod missing;
mod order;
mod refused;
mod waiting;

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
