//! How many records a second the recorder gets into an embedded node: the operator's own code, without the operator around it.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail};
use dcanary_ledger::{Outbox, Outcome, Record, Recorder, RecorderOptions, RunKey};
use dcanary_types::{
    graph::{GraphDoc, Stage},
    record::{self, Transition},
};
use tokio::sync::mpsc::UnboundedReceiver;

use super::{
    IMAGE,
    ledger::{DOMAIN, Ledger, PROJECT},
};
use crate::stats::real;

/// Longest wait for a receipt.
const LIMIT: Duration = Duration::from_mins(1);

/// The measured rates.
#[derive(Debug, Clone)]
pub struct Rates {
    /// Records a second, for each burst.
    pub bursts: Vec<f64>,
    /// Records in a burst.
    pub records: usize,
}

/// Measures `bursts` bursts of `runs` one-stage runs each; one more, before these, does not count.
///
/// Time is from the first outbox handed to the recorder until the last receipt, checked against the certified head.
///
/// # Errors
/// When the node cannot be started or the journal refuses a record.
pub async fn measure(program: &Path, wasm: &Path, bursts: u32, runs: u32) -> Result<Rates> {
    let ledger = Ledger::start(program, wasm).await?;
    let (recorder, mut outcomes) = Recorder::start(Arc::new(ledger.client()?), RecorderOptions::default());
    let mut rates = Rates {
        bursts: Vec::new(),
        records: 0,
    };
    for number in 0..=bursts {
        let outboxes = (0..runs)
            .map(|run| outbox(&format!("burst-{number}-{run}")))
            .collect::<Result<Vec<_>>>()?;
        rates.records = outboxes.iter().map(|outbox| outbox.records.len()).sum();
        let start = Instant::now();
        for outbox in outboxes {
            recorder.submit(outbox);
        }
        receipts(&mut outcomes, rates.records).await?;
        let rate = real(rates.records) / start.elapsed().as_secs_f64();
        if number > 0 {
            eprintln!("journal {number}/{bursts}: {rate:.0} records a second");
            rates.bursts.push(rate);
        }
    }
    Ok(rates)
}

async fn receipts(outcomes: &mut UnboundedReceiver<Outcome>, mut missing: usize) -> Result<()> {
    while missing > 0 {
        let outcome = tokio::time::timeout(LIMIT, outcomes.recv())
            .await
            .context("the journal does not answer")?
            .context("the recorder ended")?;
        match outcome {
            Outcome::Recorded { blocks, .. } => missing = missing.saturating_sub(blocks.len()),
            other => bail!("the journal did not take a record: {other:?}"),
        }
    }
    Ok(())
}

/// What the operator records of a run with one stage that succeeds.
fn outbox(run: &str) -> Result<Outbox> {
    let stage = "s1".to_owned();
    let graph = GraphDoc::new(vec![Stage {
        name: stage.clone(),
        needs: vec![],
        attempts: 1,
        optional: false,
        finally: false,
    }])?;
    let transitions = [
        Transition::RunOpened {
            name: format!("bench/{run}"),
            definition: [1; 32],
            graph: graph.digest(),
            params: [2; 32],
            source: None,
        },
        Transition::StageStarted {
            stage: stage.clone(),
            attempt: 1,
            image: IMAGE.to_owned(),
        },
        Transition::StageSucceeded {
            stage,
            attempt: 1,
            outputs: [3; 32],
            artifacts: None,
        },
        Transition::RunFinished {
            outcome: record::Outcome::Succeeded,
        },
    ];
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let claimed_ts = u64::try_from(since.as_nanos())?;
    let records = transitions.into_iter().zip(0..).map(|(transition, n)| {
        Record::from(&record::Record {
            run: run.to_owned(),
            n,
            claimed_ts,
            transition,
        })
    });
    Ok(Outbox {
        key: RunKey::new(PROJECT, DOMAIN, run),
        records: records.collect(),
        graph: Some(graph.encode()),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_run_has_four_records_in_order_and_its_graph() {
        let outbox = outbox("r").unwrap();
        let numbers: Vec<u64> = outbox.records.iter().map(|record| record.n).collect();
        assert_eq!(numbers, [0, 1, 2, 3]);
        assert!(
            outbox
                .records
                .iter()
                .all(|record| record.content_hash().is_some())
        );
        assert!(outbox.graph.is_some());
    }

    #[tokio::test]
    async fn receipts_are_counted_and_anything_else_is_an_error() {
        let key = RunKey::new(PROJECT, DOMAIN, "r");
        let recorded = Outcome::Recorded {
            key: key.clone(),
            first: 0,
            blocks: vec![2, 3],
        };
        let (tell, mut outcomes) = tokio::sync::mpsc::unbounded_channel();
        for outcome in [recorded.clone(), recorded, Outcome::GraphMissing { key }] {
            tell.send(outcome).unwrap();
        }
        receipts(&mut outcomes, 4).await.unwrap();
        assert!(receipts(&mut outcomes, 1).await.is_err());
    }
}
