//! One run: what to do next.
//!
//! ```text
//! hold ─▶ open ─▶ attempts ─▶ ending ─▶ start ─▶ finish ─▶ journal, conditions ─▶ rides? ─▶ effects
//! ```
//! A report alone is acted on at once only when something new can begin; else the kubelet's view, which comes within a second,
//! is waited for, and both go into one write.

mod attempts;
mod effects;
mod ending;
mod finish;
mod machine;
mod open;
mod recorded;
mod rides;
mod start;
mod step;

use std::collections::BTreeSet;

use dcanary_crds::{LedgerMode, PipelineRun, PipelineRunStatus, labels};
use jiff::Timestamp;

use crate::{
    conditions::{self, RunState},
    definition::Definition,
    effect::{Effect, Event, Plan, Wake},
    journal,
    observed::Observed,
    resolve::{self, Unresolved},
    time::later,
};
use effects::Scene;
use step::{Step, pod_of, uid_of};

/// How long a Pipeline or executor that is not there is waited for, in seconds.
const RESOLVE_GRACE: u64 = 120;

/// Decides the next step of a run. Total and deterministic: same arguments, same plan.
pub fn next(run: &PipelineRun, seen: &Observed, now: Timestamp) -> Plan {
    let old = run.status.clone().unwrap_or_default();
    let Some(uid) = run.metadata.uid.as_deref() else {
        return still(old);
    };
    let held = run
        .metadata
        .finalizers
        .iter()
        .flatten()
        .any(|name| name == labels::RECORDED);
    if old.finished_at.is_some() {
        return ended(run, uid, seen, now, old);
    }
    if old.started_at.is_none() {
        return first(run, uid, seen, now, old, held);
    }
    if !held && run.metadata.deletion_timestamp.is_none() && old.journal.is_some() {
        return Plan {
            effects: vec![Effect::HoldRun],
            ..still(old)
        };
    }
    match Definition::decode(old.resolved.as_deref(), old.definition.as_deref()) {
        Ok(definition) => active(run, uid, seen, now, &definition, &old),
        Err(error) => stuck(
            run,
            uid,
            seen,
            old,
            "DefinitionUnreadable",
            &error.to_string(),
            now,
        ),
    }
}

fn still(status: PipelineRunStatus) -> Plan {
    Plan {
        status,
        effects: Vec::new(),
        journal: Vec::new(),
        events: Vec::new(),
        wake: Wake::OnChange,
        fence: false,
    }
}

/// A run that was not begun.
fn first(
    run: &PipelineRun,
    uid: &str,
    seen: &Observed,
    now: Timestamp,
    old: PipelineRunStatus,
    held: bool,
) -> Plan {
    if run.metadata.deletion_timestamp.is_some() || seen.namespace_terminating {
        let scene = Scene {
            run,
            uid,
            seen,
            now,
            status: &old,
            definition: None,
        };
        let (effects, fence) = effects::effects(&scene, Vec::new());
        return Plan {
            effects,
            fence,
            ..still(old)
        };
    }
    let opened = resolve::resolve(&run.spec, seen)
        .and_then(|definition| Ok((open::status(&definition, now)?, definition)));
    match opened {
        // nothing may be decided before the run is held: what is decided must be recorded
        Ok((_, definition)) if !held && definition.ledger == LedgerMode::Queue => Plan {
            effects: vec![Effect::HoldRun],
            ..still(old)
        },
        Ok((status, definition)) => {
            let status = PipelineRunStatus {
                conditions: old.conditions.clone(),
                ..status
            };
            active(run, uid, seen, now, &definition, &status)
        }
        Err(error) => unresolved(run, old, &error, now),
    }
}

/// A run whose definition is missing waits a little; one whose definition is wrong has failed.
fn unresolved(run: &PipelineRun, old: PipelineRunStatus, error: &Unresolved, now: Timestamp) -> Plan {
    let created = run
        .metadata
        .creation_timestamp
        .as_ref()
        .map_or(now, |time| time.0);
    let end = later(created, RESOLVE_GRACE);
    let generation = run.metadata.generation.unwrap_or_default();
    let (reason, message) = (error.reason(), error.to_string());
    let mut status = old;
    status.observed_generation = generation;
    if error.may_come() && now < end && !run.spec.cancel {
        let facts = conditions::run(RunState::Active {
            reason,
            message: &message,
            stalled: None,
        });
        status.conditions = conditions::merge(&status.conditions, facts, generation, now);
        return Plan {
            wake: Wake::At(end),
            ..still(status)
        };
    }
    let reason = if run.spec.cancel { "Cancelled" } else { reason };
    status.started_at = Some(now);
    status.finished_at = Some(now);
    let facts = conditions::run(RunState::Ended {
        succeeded: false,
        reason,
        message: &message,
        stalled: None,
    });
    status.conditions = conditions::merge(&status.conditions, facts, generation, now);
    let event = Event {
        warning: true,
        reason: reason.to_owned(),
        note: crate::text::cut(&message, 1000),
    };
    Plan {
        events: vec![event],
        ..still(status)
    }
}

/// Somebody changed the status in a way that cannot be followed.
fn stuck(
    run: &PipelineRun,
    uid: &str,
    seen: &Observed,
    old: PipelineRunStatus,
    reason: &str,
    message: &str,
    now: Timestamp,
) -> Plan {
    let generation = run.metadata.generation.unwrap_or_default();
    let mut status = old;
    let unneeded = status
        .journal
        .as_mut()
        .map(|journal| journal::update(journal, &seen.journal, uid, now));
    status.observed_generation = generation;
    let kept = status
        .conditions
        .iter()
        .find(|condition| condition.kind == dcanary_crds::ConditionType::Recorded)
        .cloned();
    let facts = conditions::run(RunState::Active {
        reason,
        message,
        stalled: Some((reason, message)),
    });
    status.conditions = conditions::merge(&status.conditions, facts, generation, now);
    status.conditions.extend(kept);
    status.conditions.sort_by_key(|condition| condition.kind);
    let mut effects = Scene {
        run,
        uid,
        seen,
        now,
        status: &status,
        definition: None,
    }
    .leave();
    effects.extend(
        unneeded
            .into_iter()
            .flatten()
            .map(|config_map| Effect::DropSealed { config_map }),
    );
    Plan {
        effects,
        ..still(status)
    }
}

/// A run that is under way.
fn active(
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
    let (hidden, until) = unconfirmed(uid, seen, now, old);
    if hidden.is_empty() {
        return plan;
    }
    let mut plan = pass(run, uid, seen, now, definition, old, &hidden);
    if let Some(until) = until {
        plan.wake = plan.wake.earlier(until);
    }
    plan
}

/// Reports whose Pod has not ended yet in the kubelet's view, and until when that is waited for.
fn unconfirmed(
    uid: &str,
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
        let (Some(pod), Some(pod_uid)) = (pod_of(seen, uid, attempt), uid_of(seen, uid, attempt)) else {
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

fn pass(
    run: &PipelineRun,
    uid: &str,
    seen: &Observed,
    now: Timestamp,
    definition: &Definition,
    old: &PipelineRunStatus,
    hidden: &BTreeSet<u64>,
) -> Plan {
    let machine = definition.graph().map_err(|error| error.to_string());
    let machine = machine.and_then(|graph| machine::replay(graph, old).map_err(|error| error.to_string()));
    let machine = match machine {
        Ok(machine) if old.stages.len() == definition.stages.len() => machine,
        Ok(_) => {
            return stuck(
                run,
                uid,
                seen,
                old.clone(),
                "StatusUnreadable",
                "the status has other stages than the definition",
                now,
            );
        }
        Err(error) => return stuck(run, uid, seen, old.clone(), "StatusUnreadable", &error, now),
    };
    let mut step = Step {
        run,
        uid,
        seen,
        now,
        definition,
        hidden,
        status: old.clone(),
        machine,
        records: Vec::new(),
        events: Vec::new(),
        wake: Wake::OnChange,
        full: false,
        illegal: None,
    };
    if step
        .status
        .journal
        .as_ref()
        .is_some_and(|journal| journal.next == 0)
    {
        match open::record(run, uid, definition) {
            Ok(record) => step.write(record),
            Err(error) => {
                return stuck(
                    run,
                    uid,
                    seen,
                    old.clone(),
                    error.reason(),
                    &error.to_string(),
                    now,
                );
            }
        }
    }
    let unneeded = step
        .status
        .journal
        .as_mut()
        .map(|journal| journal::update(journal, &seen.journal, uid, now));
    step.note_ending();
    step.look_at_attempts();
    step.end_waiting_stages();
    step.note_finally();
    step.end_waiting_stages();
    step.start_stages();
    step.note_finally();
    step.finish();
    step.close(old, unneeded.unwrap_or_default())
}

impl Step<'_> {
    /// Conditions, what rides, effects.
    fn close(mut self, old: &PipelineRunStatus, unneeded: Vec<String>) -> Plan {
        if let Some(illegal) = self.illegal.take() {
            return stuck(
                self.run,
                self.uid,
                self.seen,
                old.clone(),
                "InternalError",
                &illegal,
                self.now,
            );
        }
        let generation = self.run.metadata.generation.unwrap_or_default();
        self.status.observed_generation = generation;
        self.status.progress = Some(self.progress());
        let stalled = recorded::stalled(&self.seen.journal);
        let stalled = stalled
            .as_ref()
            .map(|(reason, message)| (*reason, message.as_str()));
        let mut facts = if self.status.finished_at.is_some() {
            let outcome = self.outcome();
            let (reason, message) = self.end_text(outcome);
            let succeeded = outcome == dcanary_types::record::Outcome::Succeeded;
            conditions::run(RunState::Ended {
                succeeded,
                reason,
                message: &message,
                stalled,
            })
        } else {
            let (reason, message) = self.active_text();
            conditions::run(RunState::Active {
                reason,
                message: &message,
                stalled,
            })
        };
        if let Some((fact, wake)) = recorded::condition(&self.status, &self.seen.journal, self.now) {
            facts.push(fact);
            if let Some(wake) = wake {
                self.wake_at(wake);
            }
        }
        self.status.conditions = conditions::merge(&self.status.conditions, facts, generation, self.now);
        let (rides, wake) = rides::only(old, &self.status, self.now);
        if rides && self.run.status.is_some() {
            self.status = old.clone();
        }
        if let Some(wake) = wake {
            self.wake_at(wake);
        }
        let scene = Scene {
            run: self.run,
            uid: self.uid,
            seen: self.seen,
            now: self.now,
            status: &self.status,
            definition: Some(self.definition),
        };
        let (effects, fence) = effects::effects(&scene, unneeded);
        Plan {
            status: self.status,
            effects,
            journal: self.records,
            events: self.events,
            wake: self.wake,
            fence,
        }
    }
}

/// A run that has ended: nothing of it changes any more but its place in the journal.
fn ended(run: &PipelineRun, uid: &str, seen: &Observed, now: Timestamp, old: PipelineRunStatus) -> Plan {
    let mut status = old.clone();
    let unneeded = status
        .journal
        .as_mut()
        .map(|journal| journal::update(journal, &seen.journal, uid, now))
        .unwrap_or_default();
    let mut wake = Wake::OnChange;
    if let Some((fact, at)) = recorded::condition(&status, &seen.journal, now) {
        let generation = run.metadata.generation.unwrap_or_default();
        let recorded = conditions::merge(&status.conditions, vec![fact], generation, now);
        status
            .conditions
            .retain(|condition| condition.kind != dcanary_crds::ConditionType::Recorded);
        status.conditions.extend(recorded);
        status.conditions.sort_by_key(|condition| condition.kind);
        wake = at.map_or(wake, Wake::At);
    }
    let (rides, _) = rides::only(&old, &status, now);
    if rides {
        status = old;
    }
    let scene = Scene {
        run,
        uid,
        seen,
        now,
        status: &status,
        definition: None,
    };
    let (effects, fence) = effects::effects(&scene, unneeded);
    Plan {
        effects,
        wake,
        fence,
        ..still(status)
    }
}
