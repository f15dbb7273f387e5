//! Between the outboxes in statuses and the recorder.

mod left_behind;
mod outcomes;

pub use outcomes::follow;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use dcanary_crds::{JournalStatus, PendingRecord, PipelineRun};
use dcanary_ledger::{Outbox, Record, RunKey};
use kube::ResourceExt;

use crate::context::Context;

/// Hands the outbox of a run to the recorder, unless the chain is known to hold all of it already (the status says so with its next write).
/// Repeating is harmless.
pub fn hand_over(ctx: &Context, run: &PipelineRun) {
    let Some(recorder) = ctx.recorder.get() else {
        return;
    };
    let Some(outbox) = outbox(&ctx.config.domain, run) else {
        return;
    };
    let recorded = ctx.memory.with(&outbox.key.run, |memory| memory.journal.recorded);
    let open = outbox.records.last().is_none_or(|last| last.n >= recorded);
    if open {
        recorder.submit(outbox);
    }
}

/// The outbox in a run's status; `None` when there is nothing to record.
pub fn outbox(domain: &str, run: &PipelineRun) -> Option<Outbox> {
    let status = run.status.as_ref()?;
    let journal = status.journal.as_ref()?;
    if journal.pending.is_empty() && journal.sealed.is_empty() {
        return None;
    }
    Some(Outbox {
        key: RunKey::new(status.project.clone()?, domain, run.uid()?),
        records: records(&journal.pending),
        graph: graph(journal),
    })
}

/// The graph document of a journal status.
pub fn graph(journal: &JournalStatus) -> Option<Vec<u8>> {
    decode_graph(journal.graph.as_ref()?)
}

fn decode_graph(encoded: &str) -> Option<Vec<u8>> {
    BASE64_STANDARD.decode(encoded).ok()
}

/// Pending records as the recorder takes them. One that cannot be decoded was not written by us and is left out: the recorder then names the gap.
pub fn records(pending: &[PendingRecord]) -> Vec<Record> {
    pending
        .iter()
        .filter_map(|record| {
            Some(Record {
                n: u64::try_from(record.n).ok()?,
                btype: record.btype.clone(),
                claimed_ts: u64::try_from(record.claimed_ts).ok()?,
                body: BASE64_STANDARD.decode(&record.body).ok()?,
            })
        })
        .collect()
}
