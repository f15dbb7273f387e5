//! Whether the chain holds what the run did: `Recorded`, and what only a person can put right.

use dcanary_crds::{ConditionStatus, ConditionType, PipelineRunStatus};
use jiff::Timestamp;

use super::budget::CONDITION_MESSAGE_BYTES;
use crate::{
    conditions::{Fact, find},
    journal,
    observed::{JournalSeen, Sealing},
    text::cut,
    time::{from_nanoseconds, later},
};

/// From this lag on `Recorded` is False, in seconds.
const LAG: u64 = 30;

/// The condition, and when it would change by itself.
pub(super) fn condition(
    status: &PipelineRunStatus,
    seen: &JournalSeen,
    now: Timestamp,
) -> Option<(Fact, Option<Timestamp>)> {
    use ConditionStatus::{False, True, Unknown};
    let journal = status.journal.as_ref()?;
    let fact = |status, reason: &str, message: &str| {
        let message = cut(message, CONDITION_MESSAGE_BYTES);
        Fact::new(ConditionType::Recorded, status, reason, &message)
    };
    if let Some((reason, message)) = stalled(status, seen) {
        return Some((fact(False, reason, &message), None));
    }
    if journal.recorded >= journal.next {
        return Some((fact(True, "Recorded", "the chain holds all records"), None));
    }
    let oldest = match (journal.sealed.first(), journal.pending.first()) {
        (None, Some(pending)) => from_nanoseconds(pending.claimed_ts),
        _ => status.started_at.unwrap_or(now),
    };
    let late = later(oldest, LAG);
    if now >= late {
        let (reason, message) = seen
            .waiting
            .as_ref()
            .map_or(("Lagging", "records wait for the chain"), |waiting| {
                (waiting.reason.as_str(), waiting.message.as_str())
            });
        return Some((fact(False, reason, message), None));
    }
    // it stays what it was until the lag is long or everything is recorded
    let before = find(&status.conditions, ConditionType::Recorded);
    let kept = before.map_or_else(
        || fact(Unknown, "Queued", "records are on their way to the chain"),
        |condition| fact(condition.status, &condition.reason, &condition.message),
    );
    Some((kept, Some(late)))
}

/// What a person has to look at before the journal of a run can be relied on, also after the run's end.
pub(super) fn stalled(status: &PipelineRunStatus, seen: &JournalSeen) -> Option<(&'static str, String)> {
    let journal = status.journal.as_ref()?;
    if let Some(conflict) = seen.conflict {
        return Some((
            "LedgerConflict",
            format!(
                "the chain holds another record {} (block {})",
                conflict.n, conflict.have
            ),
        ));
    }
    if let Some(next) = journal::ahead(journal, seen) {
        return Some((
            "LedgerAhead",
            format!(
                "the chain holds {next} records of this run, more than its status knows: the status is older than the journal"
            ),
        ));
    }
    let swapped = seen.sealings.iter().find_map(|sealing| match sealing {
        Sealing::Swapped { config_map } => Some((
            "SealedRecordsSwapped",
            format!("ConfigMap {config_map} does not hold the records that were put aside in it"),
        )),
        Sealing::Sealed { .. } => None,
    });
    let refused = || Some(("JournalRefused", journal.refused.clone()?));
    swapped.or_else(refused)
}
