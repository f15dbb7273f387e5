//! Changes that are not worth a write of their own: they ride on the next one.

use dcanary_crds::{
    AttemptStatus, Condition, ConditionStatus, ConditionType, JournalStatus, PipelineRunStatus,
};
use jiff::Timestamp;

use crate::{journal::is_crowded, time::later};

/// After this time a running stage is shown with its start even if nothing else changes, in seconds.
const SHOW_START: u64 = 5;

/// Whether everything in which two statuses differ may wait for the next write; and when that stops being so.
pub(super) fn only(
    old: &PipelineRunStatus,
    new: &PipelineRunStatus,
    now: Timestamp,
) -> (bool, Option<Timestamp>) {
    let mut probe = new.clone();
    let mut wake = None;
    if !journal_rides(old, new) {
        return (false, None);
    }
    probe.journal.clone_from(&old.journal);
    probe.conditions = conditions(&old.conditions, &new.conditions, new.finished_at.is_some());
    let active = new.finished_at.is_none();
    for (before, after) in old.stages.iter().zip(&mut probe.stages) {
        for (before, after) in before.attempts.iter().zip(&mut after.attempts) {
            if active && before.outcome == after.outcome {
                let show = ride(before, after, now);
                wake = [wake, show].into_iter().flatten().min();
            }
        }
    }
    (probe == *old, wake)
}

/// Takes the facts that ride back to what they were.
fn ride(before: &AttemptStatus, after: &mut AttemptStatus, now: Timestamp) -> Option<Timestamp> {
    after.pod_uid.clone_from(&before.pod_uid);
    after.image.clone_from(&before.image);
    after.exit_code = before.exit_code;
    after.confirmed = before.confirmed;
    match (before.started_at, after.started_at) {
        (None, Some(started)) if after.outcome.is_none() => {
            let show = later(started, SHOW_START);
            if now < show {
                after.started_at = None;
                return Some(show);
            }
        }
        (None, Some(_)) => after.started_at = None,
        _ => {}
    }
    None
}

fn journal_rides(old: &PipelineRunStatus, new: &PipelineRunStatus) -> bool {
    let (Some(before), Some(after)) = (&old.journal, &new.journal) else {
        return old.journal == new.journal;
    };
    let same = |a: &JournalStatus, b: &JournalStatus| {
        a.next == b.next && a.refused == b.refused && a.sealed == b.sealed
    };
    let all_recorded = after.recorded >= after.next && before.recorded < before.next;
    let relieved = is_crowded(before) && after.pending.len() < before.pending.len();
    same(before, after) && !(new.finished_at.is_some() && all_recorded) && !relieved
}

/// `Recorded` alone changes often. It is written by itself when it turns False, when it is False no more, and at the end.
fn conditions(old: &[Condition], new: &[Condition], finished: bool) -> Vec<Condition> {
    let find = |list: &[Condition]| {
        list.iter()
            .find(|condition| condition.kind == ConditionType::Recorded)
            .cloned()
    };
    let (before, after) = (find(old), find(new));
    let is_false = |condition: &Option<Condition>| {
        condition
            .as_ref()
            .is_some_and(|condition| condition.status == ConditionStatus::False)
    };
    let same_status = before.as_ref().map(|c| c.status) == after.as_ref().map(|c| c.status);
    // a reason that tells of a fault is news even when the status stays
    let same_reason = before.as_ref().map(|c| &c.reason) == after.as_ref().map(|c| &c.reason);
    let rides = match (is_false(&before), is_false(&after)) {
        (true, true) => same_reason,
        (false, false) => same_status || !finished,
        _ => false,
    };
    if !rides {
        return new.to_vec();
    }
    let mut list: Vec<Condition> = new
        .iter()
        .filter(|condition| condition.kind != ConditionType::Recorded)
        .cloned()
        .collect();
    list.extend(before);
    list.sort_by_key(|condition| condition.kind);
    list
}
