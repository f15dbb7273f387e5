//! The outbox: records of a run or an environment on their way to the chain.
//!
//! ```text
//! emit ─▶ pending (≤ 64) ─▶ recorder ─▶ chain ─▶ recorded
//!             └─ at 48 the oldest 32 ─▶ SealOutbox ─▶ sealed {first, last, hash} ─▶ recorder …
//! ```
//! Records leave `pending` only when the chain or a ConfigMap is known to hold them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dcanary_crds::{JournalStatus, PendingRecord, SealedRecords};
use dcanary_types::{
    Hash,
    record::{Entry, Record, RecordKind, Transition},
    value::sha256,
};
use jiff::Timestamp;

use crate::{
    definition,
    effect::SealOutbox,
    observed::{JournalSeen, Refusal, Sealing},
    text,
    time::nanoseconds,
};

/// Most records in the outbox.
pub const CAPACITY: usize = 64;
/// From this many on the oldest are put aside.
pub const SEAL_AT: usize = 48;
/// How many are put aside at once.
pub const SEAL: usize = 32;

/// Most bytes of the outbox in a status.
pub const BYTES: usize = 48 * 1024;
/// From this many bytes on the oldest records are put aside, so that a few long ones never stop a run.
const SEAL_BYTES: usize = BYTES / 2;
/// The longest record: its body in base64, its type and the fields' names.
const RECORD_BYTES: usize = dcanary_types::limits::MAX_BODY_BYTES.div_ceil(3) * 4 + 128;

/// How many further records fit.
pub fn room(journal: &JournalStatus) -> usize {
    let bytes = BYTES.saturating_sub(pending_bytes(journal));
    CAPACITY
        .saturating_sub(journal.pending.len())
        .min(bytes / RECORD_BYTES)
}

/// Bytes of the outbox in a status, a little more than less.
pub fn pending_bytes(journal: &JournalStatus) -> usize {
    let of = |record: &PendingRecord| record.body.len() + 128;
    journal.pending.iter().map(of).sum()
}

/// Whether records are to be put aside.
pub fn is_crowded(journal: &JournalStatus) -> bool {
    journal.pending.len() >= SEAL_AT || pending_bytes(journal) >= SEAL_BYTES
}

/// Adds a record under the next number.
pub fn push<T: RecordKind>(
    journal: &mut JournalStatus,
    run: &str,
    transition: T,
    now: Timestamp,
) -> Record<T> {
    let record = Record {
        run: run.to_owned(),
        n: u64::try_from(journal.next).unwrap_or_default(),
        claimed_ts: nanoseconds(now),
        transition,
    };
    journal.next += 1;
    journal.pending.push(pending(&record));
    record
}

/// A record as the outbox keeps it.
pub fn pending<T: RecordKind>(record: &Record<T>) -> PendingRecord {
    PendingRecord {
        n: i64::try_from(record.n).unwrap_or(i64::MAX),
        btype: record.btype().to_owned(),
        claimed_ts: i64::try_from(record.claimed_ts).unwrap_or(i64::MAX),
        body: STANDARD.encode(record.encode_body()),
    }
}

/// Reads a record of the outbox; `None` when somebody changed it.
pub fn read<T: RecordKind>(pending: &PendingRecord) -> Option<Record<T>> {
    let body = STANDARD.decode(&pending.body).ok()?;
    let record = Record::<T>::decode(&pending.btype, u64::try_from(pending.claimed_ts).ok()?, &body).ok()?;
    (i64::try_from(record.n) == Ok(pending.n)).then_some(record)
}

/// Hash over records that are put aside: `sha256:…` of their content hashes in order.
pub fn seal_hash(records: &[PendingRecord]) -> String {
    let mut all: Vec<u8> = Vec::with_capacity(records.len() * 32);
    for record in records {
        let hash: Hash = read::<Entry>(record).map_or([0; 32], |record| record.content_hash());
        all.extend(hash);
    }
    definition::text(&sha256(&all))
}

/// Name of the ConfigMap for records from `first` on.
pub fn config_map(run: &str, first: i64) -> String {
    format!("dcanary-journal-{run}-{first}")
}

/// What is to be put aside now: at 48 (or 24 KiB) the oldest 32, or everything when the run is about to go.
pub fn to_seal(journal: &JournalStatus, run: &str, everything: bool) -> Option<SealOutbox> {
    let count = match journal.pending.len() {
        0 => return None,
        all if everything || is_crowded(journal) => all.min(SEAL),
        _ => return None,
    };
    let records = journal.pending[..count].to_vec();
    let (first, last) = (records.first()?.n, records.last()?.n);
    Some(SealOutbox {
        config_map: config_map(run, first),
        first,
        last,
        hash: seal_hash(&records),
        records,
    })
}

/// Takes over what the recorder told. Returns the ConfigMaps that are not needed any more.
pub fn update(journal: &mut JournalStatus, seen: &JournalSeen, run: &str, now: Timestamp) -> Vec<String> {
    take_sealings(journal, seen, run);
    for refusal in &seen.refused {
        replace(journal, refusal, run, now);
    }
    // a chain that holds more than the run ever had is shown, not followed
    let recorded = i64::try_from(seen.recorded).unwrap_or(i64::MAX).min(journal.next);
    let conflict = seen.conflict.and_then(|conflict| i64::try_from(conflict.n).ok());
    if recorded <= journal.recorded
        || ahead(journal, seen).is_some()
        || conflict.is_some_and(|n| n < recorded)
    {
        return Vec::new();
    }
    journal.recorded = recorded;
    journal.block = seen
        .block
        .and_then(|block| i64::try_from(block).ok())
        .or(journal.block);
    journal.pending.retain(|record| record.n >= recorded);
    journal.graph = None;
    let (done, open): (Vec<_>, Vec<_>) = std::mem::take(&mut journal.sealed)
        .into_iter()
        .partition(|sealed| sealed.last < recorded);
    journal.sealed = open;
    done.into_iter().map(|sealed| sealed.config_map).collect()
}

/// The chain's next number when it holds more than the run ever had. What the recorder once told stays told, but a run that has come as
/// far meanwhile (a status that was only stale) is behind no more.
pub fn ahead(journal: &JournalStatus, seen: &JournalSeen) -> Option<u64> {
    let own = u64::try_from(journal.next).unwrap_or_default();
    seen.ahead.filter(|next| *next > own)
}

fn take_sealings(journal: &mut JournalStatus, seen: &JournalSeen, run: &str) {
    for sealing in &seen.sealings {
        let Sealing::Sealed { first, last, hash } = sealing else {
            continue;
        };
        let count = journal
            .pending
            .iter()
            .take_while(|record| record.n <= *last)
            .count();
        let matches = journal.pending.first().is_some_and(|record| record.n == *first)
            && journal
                .pending
                .get(count.saturating_sub(1))
                .is_some_and(|record| record.n == *last)
            && seal_hash(&journal.pending[..count]) == *hash;
        if matches {
            journal.pending.drain(..count);
            journal.sealed.push(SealedRecords {
                first: *first,
                last: *last,
                hash: hash.clone(),
                config_map: config_map(run, *first),
            });
        }
    }
}

/// ConfigMaps that were filled while the chain was quicker, so that no status ever named them.
pub fn forgotten(journal: &JournalStatus, seen: &JournalSeen, run: &str) -> Vec<String> {
    let over = |sealing: &Sealing| match sealing {
        Sealing::Sealed { first, last, .. } if *last < journal.recorded => Some(config_map(run, *first)),
        Sealing::Sealed { .. } | Sealing::Swapped { .. } => None,
    };
    seen.sealings.iter().filter_map(over).collect()
}

/// Puts a note in the place of a record that the chain refused, so that the numbers go on without a gap.
fn replace(journal: &mut JournalStatus, refusal: &Refusal, run: &str, now: Timestamp) {
    let Ok(n) = i64::try_from(refusal.n) else { return };
    if n < journal.recorded || n >= journal.next {
        return;
    }
    let place = journal.pending.iter().position(|record| record.n == n);
    let current = place.and_then(|at| read::<Entry>(&journal.pending[at]));
    match &current {
        Some(record) if record.content_hash() != refusal.hash => return,
        None if place.is_some()
            || !journal
                .sealed
                .iter()
                .any(|sealed| (sealed.first..=sealed.last).contains(&n)) =>
        {
            return;
        }
        _ => {}
    }
    let what = current
        .as_ref()
        .map_or("a sealed record", |record| record.btype());
    let shown = format!(
        "record {n} ({what}, content {}) was refused: {}",
        definition::text(&refusal.hash),
        refusal.reason
    );
    journal.refused = Some(text::cut(&shown, 1024));
    journal.refused_record = Some(n);
    // nothing begins with a note: it would be refused as well, and its own note again
    if n == 0 {
        return;
    }
    let note = refused(refusal, run, now);
    match place {
        Some(at) => journal.pending[at] = note,
        // it was put aside: the note goes along in the outbox and wins over the sealed one
        None => {
            let at = journal.pending.iter().take_while(|record| record.n < n).count();
            journal.pending.insert(at, note);
        }
    }
}

/// The note in the place of a record that the chain refused.
pub fn refused(refusal: &Refusal, run: &str, now: Timestamp) -> PendingRecord {
    pending(&Record {
        run: run.to_owned(),
        n: refusal.n,
        claimed_ts: nanoseconds(now),
        transition: Transition::RecordRefused {
            hash: refusal.hash,
            reason: refusal_reason(&refusal.reason),
        },
    })
}

/// A reason of 1 to 64 bytes.
fn refusal_reason(reason: &str) -> String {
    if reason.is_empty() {
        "Refused".to_owned()
    } else {
        text::cut(reason, 64)
    }
}

#[cfg(test)]
mod tests;
