//! One pass over a run: the status as it is becoming, and the records that lead there.

use std::collections::BTreeSet;

use dcanary_crds::{AttemptStatus, Ending, PipelineRun, PipelineRunStatus};
use dcanary_types::{
    machine::RunMachine,
    record::{Record, Transition},
};
use jiff::Timestamp;

use super::budget;
use crate::{
    definition::Definition,
    effect::{Event, Wake},
    journal,
    observed::{CreateAnswer, Observed, SeenReport},
    outcome::STUCK,
    pod::POD_GRACE,
    seen_pod::SeenPod,
    text::cut,
    time::later,
};

/// Whose Pods count: anybody who may create Pods somewhere can copy labels, owner and name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner<'a> {
    uid: &'a str,
    namespace: &'a str,
}

impl<'a> Owner<'a> {
    pub(super) fn of(run: &'a PipelineRun, uid: &'a str) -> Self {
        Self {
            uid,
            namespace: run.metadata.namespace.as_deref().unwrap_or_default(),
        }
    }

    /// Whether a Pod says that it is of this run.
    pub(super) fn has(self, pod: &SeenPod) -> bool {
        pod.controller.as_deref() == Some(self.uid) && pod.namespace == self.namespace
    }

    /// Whether it is, and the operator made it.
    pub(super) fn made(self, seen: &Observed, pod: &SeenPod) -> bool {
        self.has(pod) && pod.made_for(self.uid, &seen.settings.pod_key)
    }
}

/// A pass.
pub(super) struct Step<'a> {
    pub(super) run: &'a PipelineRun,
    pub(super) uid: &'a str,
    pub(super) owner: Owner<'a>,
    pub(super) seen: &'a Observed,
    pub(super) now: Timestamp,
    pub(super) definition: &'a Definition,
    /// Cursors of reports that are left for later.
    pub(super) hidden: &'a BTreeSet<u64>,
    pub(super) status: PipelineRunStatus,
    pub(super) machine: RunMachine,
    pub(super) records: Vec<Record>,
    pub(super) events: Vec<Event>,
    pub(super) wake: Wake,
    /// The outbox has no room: nothing further is decided in this pass.
    pub(super) full: bool,
    /// Bytes of the status that are free, once it was asked for; what can be trimmed later is not taken off.
    pub(super) room: Option<usize>,
    /// So many bytes could not be had although everything was trimmed.
    pub(super) short_of: Option<usize>,
    /// A stage could begin, but the server is away.
    pub(super) held_up: bool,
    /// The machine refused a record. Never happens; if it does the run stops instead of writing something wrong.
    pub(super) illegal: Option<String>,
}

impl<'a> Step<'a> {
    /// Whether so many records can be written.
    pub(super) fn has_room(&mut self, count: usize) -> bool {
        let fits = self.illegal.is_none()
            && self
                .status
                .journal
                .as_ref()
                .is_none_or(|journal| journal::room(journal) >= count);
        self.full |= !fits;
        fits
    }

    /// Writes a record, if it fits and the machine takes it. Nothing may be changed in the status when it does not.
    pub(super) fn emit(&mut self, transition: Transition) -> bool {
        if !self.has_room(1) {
            return false;
        }
        if let Err(error) = self.machine.apply(&transition) {
            self.illegal.get_or_insert(error.to_string());
            return false;
        }
        self.write(transition);
        true
    }

    /// Puts a record into the outbox.
    pub(super) fn write(&mut self, transition: Transition) {
        if let Some(journal) = &mut self.status.journal {
            self.records
                .push(journal::push(journal, self.uid, transition, self.now));
        }
    }

    /// Sets bytes of the status aside for something that cannot be trimmed, if there are so many.
    pub(super) fn take_room(&mut self, want: usize) -> bool {
        if self.room.is_none_or(|room| room < want) {
            if self.short_of.is_some_and(|least| want >= least) {
                return false;
            }
            budget::make_room(&mut self.status, want);
            self.room = budget::left(&self.status);
        }
        let left = self.room.and_then(|room| room.checked_sub(want));
        if left.is_some() {
            self.room = left;
        } else {
            self.short_of = Some(want);
        }
        left.is_some()
    }

    pub(super) fn tell(&mut self, warning: bool, reason: &str, note: &str) {
        self.events.push(Event {
            warning,
            reason: reason.to_owned(),
            note: cut(note, 1000),
        });
    }

    pub(super) fn wake_at(&mut self, at: Timestamp) {
        if at < Timestamp::MAX {
            self.wake = self.wake.earlier(at);
        }
    }

    /// Why a stage is being stopped, if it is.
    pub(super) fn stopping(&self, index: usize) -> Option<&'static str> {
        let finally = self
            .definition
            .stages
            .get(index)
            .is_some_and(|stage| stage.finally);
        match self.status.ending {
            Some(Ending::Deleted) => Some("RunDeleted"),
            Some(Ending::Cancelled) if !finally => Some("RunCancelled"),
            Some(Ending::TimedOut) if !finally => Some("RunTimedOut"),
            _ if finally && self.finally_is_over() => Some("FinallyTimedOut"),
            _ => None,
        }
    }

    /// Whether the time for `finally` stages is over.
    pub(super) fn finally_is_over(&self) -> bool {
        let end = self
            .status
            .finally_at
            .map(|at| later(at, self.definition.timeouts.finally));
        end.is_some_and(|end| self.now >= end)
    }

    /// Tells of Pods that somebody else made and gave out as this run's, before they are deleted.
    pub(super) fn tell_of_forged(&mut self) {
        for pod in strays(self.seen, self.owner, &self.status) {
            if pod.deleting_since.is_none() && !self.owner.made(self.seen, pod) {
                let note = format!(
                    "Pod {} was not made by the operator, although it names this run as its owner: it counts for nothing and is deleted",
                    pod.name
                );
                self.tell(true, "ForeignPod", &note);
            }
        }
    }

    /// Until when the Pod of an ended attempt may still be running steps, if it may: further steps of the same stage, `finally`
    /// stages and the end of the run wait for it, but not for ever.
    pub(super) fn still_running(&self, attempt: &AttemptStatus) -> Option<Timestamp> {
        if attempt.outcome.is_none() || attempt.report.is_some() {
            return None;
        }
        let pod = pod_of(self.seen, self.owner, attempt).filter(|pod| pod.is_live())?;
        let from = attempt
            .finished_at
            .unwrap_or(self.now)
            .max(pod.deleting_since.unwrap_or(Timestamp::MIN));
        let end = later(from, POD_GRACE + STUCK);
        (self.now < end).then_some(end)
    }

    /// The report of an attempt among those that may be looked at.
    pub(super) fn report_of(&self, uid: Option<&str>) -> Option<&'a SeenReport> {
        let uid = uid?;
        let of = |report: &&SeenReport| report.entry.attempt == uid && report.entry.report.is_some();
        self.seen
            .reports
            .iter()
            .filter(of)
            .find(|report| !self.hidden.contains(&report.entry.cursor))
    }
}

/// The Pod of an attempt: of its name, made by us for this run, and the one that was seen before. That it was made by us is known from the
/// answer to its creation, which the status keeps; before that from its proof.
pub(super) fn pod_of<'a>(
    seen: &'a Observed,
    owner: Owner<'_>,
    attempt: &AttemptStatus,
) -> Option<&'a SeenPod> {
    let known = attempt.pod_uid.as_deref().or_else(|| created_uid(seen, attempt));
    seen.pods.iter().find(|pod| {
        pod.name == attempt.pod
            && owner.has(pod)
            && known.map_or_else(|| owner.made(seen, pod), |uid| uid == pod.uid)
    })
}

/// A Pod that has the name of an attempt's Pod and says that it is of this run, but that the operator did not make.
pub(super) fn forged_for<'a>(
    seen: &'a Observed,
    owner: Owner<'_>,
    attempt: &AttemptStatus,
) -> Option<&'a SeenPod> {
    if attempt.pod_uid.is_some() || created_uid(seen, attempt).is_some() {
        return None;
    }
    seen.pods
        .iter()
        .find(|pod| pod.name == attempt.pod && owner.has(pod) && !owner.made(seen, pod))
}

/// Pods that say that they are of this run and are the Pod of no attempt. A process that stood still between its status write and the
/// creation makes one anew when the attempt has ended meanwhile and its Pod is gone; others somebody else made. They count for nothing,
/// and neither the run nor its namespace may wait for them.
pub(super) fn strays<'a>(
    seen: &'a Observed,
    owner: Owner<'_>,
    status: &PipelineRunStatus,
) -> Vec<&'a SeenPod> {
    let attempts = || status.stages.iter().flat_map(|stage| &stage.attempts);
    let known: BTreeSet<&str> = attempts()
        .filter_map(|attempt| pod_of(seen, owner, attempt))
        .map(|pod| pod.uid.as_str())
        .collect();
    // which of ours an attempt has is not known for sure before the status says so, or says how it ended
    let open: BTreeSet<&str> = attempts()
        .filter(|attempt| attempt.outcome.is_none() && attempt.pod_uid.is_none())
        .map(|attempt| attempt.pod.as_str())
        .collect();
    let stray = |pod: &&SeenPod| {
        owner.has(pod)
            && !known.contains(pod.uid.as_str())
            && !(open.contains(pod.name.as_str()) && owner.made(seen, pod))
    };
    seen.pods.iter().filter(stray).collect()
}

/// The answer to the creation of an attempt's Pod.
pub(super) fn creation_of<'a>(seen: &'a Observed, attempt: &AttemptStatus) -> Option<&'a CreateAnswer> {
    creation_named(seen, &attempt.pod)
}

/// The answer to the creation of a Pod or a Promotion.
pub(super) fn creation_named<'a>(seen: &'a Observed, name: &str) -> Option<&'a CreateAnswer> {
    seen.creations
        .iter()
        .rev()
        .find(|creation| creation.pod == name)
        .map(|creation| &creation.answer)
}

fn created_uid<'a>(seen: &'a Observed, attempt: &AttemptStatus) -> Option<&'a str> {
    match creation_of(seen, attempt) {
        Some(CreateAnswer::Created { uid, .. }) => Some(uid),
        _ => None,
    }
}

/// The UID of an attempt's Pod, from wherever it is known.
pub(super) fn uid_of<'a>(
    seen: &'a Observed,
    owner: Owner<'_>,
    attempt: &'a AttemptStatus,
) -> Option<&'a str> {
    let known = attempt.pod_uid.as_deref().or_else(|| created_uid(seen, attempt));
    known.or_else(|| pod_of(seen, owner, attempt).map(|pod| pod.uid.as_str()))
}
