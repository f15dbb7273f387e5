//! A run that is under way: reports that the kubelet has not confirmed yet are left for later, unless something can begin.

use std::collections::BTreeSet;

use dcanary_crds::{PipelineRun, PipelineRunStatus};
use jiff::Timestamp;

use super::{
    finish, pass,
    step::{Owner, pod_of, uid_of},
};
use crate::{definition::Definition, effect::Plan, observed::Observed, time::later};

/// A run that is under way.
pub(super) fn active(
    run: &PipelineRun,
    uid: &str,
    seen: &Observed,
    now: Timestamp,
    definition: &Definition,
    old: &PipelineRunStatus,
) -> Plan {
    let plan = pass(run, uid, seen, now, definition, old, &BTreeSet::new());
    let attempts = |status: &PipelineRunStatus| {
        status
            .stages
            .iter()
            .map(|stage| stage.attempts.len())
            .sum::<usize>()
    };
    if attempts(&plan.status) > attempts(old) {
        return plan;
    }
    let (hidden, until) = unconfirmed(Owner::of(run, uid), seen, now, old);
    if hidden.is_empty() {
        return plan;
    }
    let mut patient = pass(run, uid, seen, now, definition, old, &hidden);
    if overtaken(seen, &hidden, &patient.status) {
        return plan;
    }
    if let Some(until) = until {
        patient.wake = patient.wake.earlier(until);
    }
    patient
}

/// Whether an attempt would get its outcome from something else while its report is left for later. The report counts first.
fn overtaken(seen: &Observed, hidden: &BTreeSet<u64>, status: &PipelineRunStatus) -> bool {
    let mut ended = status
        .stages
        .iter()
        .flat_map(|stage| &stage.attempts)
        .filter(|attempt| attempt.outcome.is_some());
    ended.any(|attempt| {
        seen.reports.iter().any(|report| {
            hidden.contains(&report.entry.cursor)
                && attempt.pod_uid.as_deref() == Some(report.entry.attempt.as_str())
        })
    })
}

/// Reports whose Pod has not ended yet in the kubelet's view, and until when that is waited for.
fn unconfirmed(
    owner: Owner<'_>,
    seen: &Observed,
    now: Timestamp,
    status: &PipelineRunStatus,
) -> (BTreeSet<u64>, Option<Timestamp>) {
    let open = status
        .stages
        .iter()
        .flat_map(|stage| &stage.attempts)
        .filter(|attempt| attempt.outcome.is_none());
    let mut hidden = BTreeSet::new();
    let mut until = None;
    for attempt in open {
        let (Some(pod), Some(pod_uid)) = (pod_of(seen, owner, attempt), uid_of(seen, owner, attempt)) else {
            continue;
        };
        for report in seen
            .reports
            .iter()
            .filter(|report| report.entry.attempt == pod_uid && report.entry.report.is_some())
        {
            let end = later(report.received, finish::CONFIRM);
            if pod.is_live() && now < end {
                hidden.insert(report.entry.cursor);
                until = [until, Some(end)].into_iter().flatten().min();
            }
        }
    }
    (hidden, until)
}
