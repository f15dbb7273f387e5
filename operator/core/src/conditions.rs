//! Conditions, so that kstatus and `kubectl wait` say the right thing (`Reconciling` and `Stalled` are never both True).

use dcanary_crds::{Condition, ConditionStatus, ConditionType};
use jiff::Timestamp;

use crate::text::cut;

const MESSAGE_BYTES: usize = 4096;

/// A condition without its time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is about.
    pub kind: ConditionType,
    /// Whether it holds.
    pub status: ConditionStatus,
    /// One CamelCase word.
    pub reason: String,
    /// One sentence.
    pub message: String,
}

impl Fact {
    /// A fact.
    pub fn new(kind: ConditionType, status: ConditionStatus, reason: &str, message: &str) -> Self {
        Self {
            kind,
            status,
            reason: if reason.is_empty() {
                "Unknown".to_owned()
            } else {
                reason.to_owned()
            },
            message: cut(message, MESSAGE_BYTES),
        }
    }
}

/// Puts facts over the conditions that were there. `now` is stamped only where the status changes.
pub fn merge(old: &[Condition], facts: Vec<Fact>, generation: i64, now: Timestamp) -> Vec<Condition> {
    let mut merged: Vec<Condition> = facts
        .into_iter()
        .map(|fact| {
            let before = old.iter().find(|condition| condition.kind == fact.kind);
            let kept = before.filter(|condition| condition.status == fact.status);
            Condition {
                kind: fact.kind,
                status: fact.status,
                reason: fact.reason,
                message: fact.message,
                last_transition_time: kept.map_or(now, |condition| condition.last_transition_time),
                observed_generation: generation,
            }
        })
        .collect();
    merged.sort_by_key(|condition| condition.kind);
    merged
}

/// The condition of a type.
pub fn find(conditions: &[Condition], kind: ConditionType) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.kind == kind)
}

/// What the conditions of a run say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState<'a> {
    /// Under way.
    Active {
        /// One CamelCase word.
        reason: &'a str,
        /// One sentence.
        message: &'a str,
        /// Why nothing will happen without a person, if so.
        stalled: Option<(&'a str, &'a str)>,
    },
    /// Ended.
    Ended {
        /// All that had to succeed did.
        succeeded: bool,
        /// One CamelCase word.
        reason: &'a str,
        /// One sentence.
        message: &'a str,
        /// The journal needs a person.
        stalled: Option<(&'a str, &'a str)>,
    },
}

/// `Succeeded`, `Finished`, `Reconciling` and `Stalled` of a run.
pub fn run(state: RunState<'_>) -> Vec<Fact> {
    use ConditionStatus::{False, True, Unknown};
    use ConditionType::{Finished, Reconciling, Stalled, Succeeded};
    match state {
        RunState::Active {
            reason,
            message,
            stalled,
        } => {
            let (why, what) = stalled.unwrap_or((reason, message));
            vec![
                Fact::new(Succeeded, Unknown, reason, message),
                Fact::new(Finished, False, reason, ""),
                Fact::new(Reconciling, stalled.is_none().into(), why, ""),
                Fact::new(
                    Stalled,
                    stalled.is_some().into(),
                    why,
                    if stalled.is_some() { what } else { "" },
                ),
            ]
        }
        RunState::Ended {
            succeeded,
            reason,
            message,
            stalled,
        } => {
            // that the run failed is said by `Succeeded` too; what is wrong with its journal is not
            let failed = (!succeeded).then_some((reason, message));
            let stalled = stalled.or(failed);
            let (why, what) = stalled.unwrap_or((reason, ""));
            vec![
                Fact::new(Succeeded, if succeeded { True } else { False }, reason, message),
                Fact::new(Finished, True, reason, message),
                Fact::new(Reconciling, False, reason, ""),
                Fact::new(Stalled, stalled.is_some().into(), why, what),
            ]
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_time_is_stamped_only_when_the_status_changes() {
        let (early, late) = (
            Timestamp::from_second(1).unwrap(),
            Timestamp::from_second(2).unwrap(),
        );
        let active = |message| {
            run(RunState::Active {
                reason: "Running",
                message,
                stalled: None,
            })
        };
        let first = merge(&[], active("a"), 1, early);
        let second = merge(&first, active("b"), 1, late);
        assert!(
            second
                .iter()
                .all(|condition| condition.last_transition_time == early)
        );
        let ended = RunState::Ended {
            succeeded: true,
            reason: "Succeeded",
            message: "",
            stalled: None,
        };
        let third = merge(&second, run(ended), 1, late);
        assert_eq!(
            find(&third, ConditionType::Succeeded)
                .unwrap()
                .last_transition_time,
            late
        );
        assert_eq!(
            find(&third, ConditionType::Stalled).unwrap().last_transition_time,
            early
        );
    }

    #[test]
    fn reconciling_and_stalled_are_never_both_true_and_a_failed_run_is_stalled() {
        let stalled = Some(("LedgerConflict", "…"));
        for state in [
            RunState::Active {
                reason: "Running",
                message: "",
                stalled: None,
            },
            RunState::Active {
                reason: "Running",
                message: "",
                stalled,
            },
            RunState::Ended {
                succeeded: true,
                reason: "Succeeded",
                message: "",
                stalled: None,
            },
            RunState::Ended {
                succeeded: true,
                reason: "Succeeded",
                message: "",
                stalled,
            },
            RunState::Ended {
                succeeded: false,
                reason: "Failed",
                message: "",
                stalled: None,
            },
        ] {
            let conditions = merge(&[], run(state), 1, Timestamp::UNIX_EPOCH);
            let holds = |kind| find(&conditions, kind).unwrap().status == ConditionStatus::True;
            assert!(!(holds(ConditionType::Reconciling) && holds(ConditionType::Stalled)));
            let active = matches!(state, RunState::Active { .. });
            assert_eq!(holds(ConditionType::Finished), !active);
            if matches!(state, RunState::Ended { succeeded: false, .. }) {
                assert!(holds(ConditionType::Stalled));
            }
        }
    }
}
