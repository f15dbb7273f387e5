//! Between the outboxes in statuses and the recorder.

mod left_behind;
mod outcomes;
pub mod seal;

pub use outcomes::follow;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use dcanary_crds::{Environment, JournalStatus, PendingRecord, PipelineRun, labels};
use dcanary_ledger::{Outbox, Record, RunKey};
use kube::ResourceExt;

use crate::context::Context;

/// Something that has an outbox in its status: a run or an Environment. On the chain both are known by their UID.
pub trait Journaled: Sync {
    /// UID.
    fn uid(&self) -> String;
    /// The annotation that names it on ConfigMaps of sealed records, and its namespace and name.
    fn place(&self) -> (&'static str, String);
    /// Project under which it is recorded.
    fn project(&self) -> Option<&str>;
    /// Its outbox.
    fn journal(&self) -> Option<&JournalStatus>;
}

fn namespaced(object: &impl ResourceExt) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

impl Journaled for PipelineRun {
    fn uid(&self) -> String {
        ResourceExt::uid(self).unwrap_or_default()
    }

    fn place(&self) -> (&'static str, String) {
        (labels::RUN, namespaced(self))
    }

    fn project(&self) -> Option<&str> {
        self.status.as_ref()?.project.as_deref()
    }

    fn journal(&self) -> Option<&JournalStatus> {
        self.status.as_ref()?.journal.as_ref()
    }
}

impl Journaled for Environment {
    fn uid(&self) -> String {
        ResourceExt::uid(self).unwrap_or_default()
    }

    fn place(&self) -> (&'static str, String) {
        (labels::ENVIRONMENT, namespaced(self))
    }

    fn project(&self) -> Option<&str> {
        self.status.as_ref()?.project.as_deref()
    }

    fn journal(&self) -> Option<&JournalStatus> {
        self.status.as_ref()?.journal.as_ref()
    }
}

/// Hands an outbox to the recorder, unless the chain is known to hold all of it already (the status says so with its next write).
/// Repeating is harmless. When all that it has is sealed, the ConfigMaps are read first, which is done elsewhere.
pub fn hand_over(ctx: &Context, subject: &dyn Journaled) {
    let Some(recorder) = ctx.recorder.get() else {
        return;
    };
    let Some(outbox) = outbox(&ctx.config.domain, subject) else {
        return;
    };
    let recorded = ctx.journal_of(&outbox.key.run, |journal| journal.recorded);
    match outbox.records.last() {
        Some(last) if last.n >= recorded => recorder.submit(outbox),
        Some(_) => {}
        None => ctx.left_behind.notify_one(),
    }
}

/// The outbox in a status; `None` when there is nothing to record.
pub fn outbox(domain: &str, subject: &dyn Journaled) -> Option<Outbox> {
    let journal = subject.journal()?;
    let uid = subject.uid();
    if uid.is_empty() || (journal.pending.is_empty() && journal.sealed.is_empty()) {
        return None;
    }
    Some(Outbox {
        key: RunKey::new(subject.project()?.to_owned(), domain, uid),
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
