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

/// The ledger is on a network of others, and the operator's key could replace its code: only a person can put that right.
pub const OPERATOR_IS_CONTROLLER: &str = "OperatorIsController";

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
    swapped.or_else(refused).or_else(|| controls(journal, seen))
}

/// Nothing is recorded while the operator's key controls the ledger: what is recorded already does not depend on it.
fn controls(journal: &JournalStatus, seen: &JournalSeen) -> Option<(&'static str, String)> {
    let waiting = seen.waiting.as_ref()?;
    (waiting.reason == OPERATOR_IS_CONTROLLER && journal.recorded < journal.next)
        .then(|| (OPERATOR_IS_CONTROLLER, waiting.message.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observed::Waiting;

    fn seen(reason: &str) -> JournalSeen {
        JournalSeen {
            waiting: Some(Waiting {
                since: Timestamp::UNIX_EPOCH,
                reason: reason.to_owned(),
                message: "a person runs `x`".to_owned(),
            }),
            ..JournalSeen::default()
        }
    }

    fn journal(recorded: i64, next: i64) -> JournalStatus {
        JournalStatus {
            recorded,
            next,
            ..JournalStatus::default()
        }
    }

    fn said(journal: &JournalStatus, seen: &JournalSeen) -> (ConditionStatus, String) {
        let (fact, _) = condition(journal, &[], Timestamp::UNIX_EPOCH, seen, Timestamp::UNIX_EPOCH);
        (fact.status, fact.reason)
    }

    #[test]
    fn while_the_operators_key_controls_the_ledger_what_waits_is_stalled_at_once() {
        let waits = journal(1, 3);
        let controls = seen(OPERATOR_IS_CONTROLLER);
        assert_eq!(
            stalled(&waits, &controls),
            Some((OPERATOR_IS_CONTROLLER, "a person runs `x`".to_owned()))
        );
        let now = said(&waits, &controls);
        assert_eq!(now, (ConditionStatus::False, OPERATOR_IS_CONTROLLER.to_owned()));
        // a ledger that is away is no matter for a person yet
        assert_eq!(stalled(&waits, &seen("LedgerUnreachable")), None);
        let away = said(&waits, &seen("LedgerUnreachable"));
        assert_eq!(away, (ConditionStatus::Unknown, "Queued".to_owned()));
    }

    #[test]
    fn what_is_recorded_already_does_not_depend_on_who_controls_the_ledger_now() {
        let recorded = journal(3, 3);
        let controls = seen(OPERATOR_IS_CONTROLLER);
        assert_eq!(stalled(&recorded, &controls), None);
        assert_eq!(said(&recorded, &controls).0, ConditionStatus::True);
    }
}
