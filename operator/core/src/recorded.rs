//! Whether the chain holds what an object did: `Recorded`, and what only a person can put right.

use dcanary_crds::{Condition, ConditionStatus, ConditionType, JournalStatus};
use jiff::Timestamp;

use crate::{
    conditions::{Fact, find},
    journal,
    observed::{JournalSeen, Sealing},
    run::CONDITION_MESSAGE_BYTES,
    text::cut,
    time::{from_nanoseconds, later},
};

/// From this lag on `Recorded` is False, in seconds.
const LAG: u64 = 30;

/// The condition, and when it would change by itself.
///
/// `started` stands for the time of the oldest record where that is not at hand.
pub fn condition(
    journal: &JournalStatus,
    conditions: &[Condition],
    started: Timestamp,
    seen: &JournalSeen,
    now: Timestamp,
) -> (Fact, Option<Timestamp>) {
    use ConditionStatus::{False, True, Unknown};
    let fact = |status, reason: &str, message: &str| {
        let message = cut(message, CONDITION_MESSAGE_BYTES);
        Fact::new(ConditionType::Recorded, status, reason, &message)
    };
    if let Some((reason, message)) = stalled(journal, seen) {
        return (fact(False, reason, &message), None);
    }
    if journal.recorded >= journal.next {
        return (fact(True, "Recorded", "the chain holds all records"), None);
    }
    let oldest = match (journal.sealed.first(), journal.pending.first()) {
        (None, Some(pending)) => from_nanoseconds(pending.claimed_ts),
        _ => started,
    };
    let late = later(oldest, LAG);
    if now >= late {
        let (reason, message) = seen
            .waiting
            .as_ref()
            .map_or(("Lagging", "records wait for the chain"), |waiting| {
                (waiting.reason.as_str(), waiting.message.as_str())
            });
        return (fact(False, reason, message), None);
    }
    // it stays what it was until the lag is long or everything is recorded
    let before = find(conditions, ConditionType::Recorded);
    let kept = before.map_or_else(
        || fact(Unknown, "Queued", "records are on their way to the chain"),
        |condition| fact(condition.status, &condition.reason, &condition.message),
    );
    (kept, Some(late))
}

/// What a person has to look at before the journal of an object can be relied on, also after its end.
pub fn stalled(journal: &JournalStatus, seen: &JournalSeen) -> Option<(&'static str, String)> {
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
                "the chain holds {next} records of it, more than its status knows: the status is older than the journal"
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
