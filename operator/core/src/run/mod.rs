//! One run: what to do next.
//!
//! ```text
//! hold ─▶ open ─▶ attempts ─▶ ending ─▶ start ─▶ finish ─▶ journal, conditions ─▶ rides? ─▶ effects
//! ```
//! A report alone is acted on at once only when something new can begin; else the kubelet's view, which comes within a second,
//! is waited for, and both go into one write.

mod active;
mod after;
mod attempts;
mod begin;
mod budget;
mod deployments;
mod effects;
mod ending;
mod finish;
mod machine;
mod open;
mod rides;
mod start;
mod step;

use std::collections::BTreeSet;

use dcanary_crds::{PipelineRun, PipelineRunStatus, labels};
use jiff::Timestamp;

use crate::{
    conditions::{self, RunState},
    definition::Definition,
    effect::{Effect, Plan, Wake},
    journal,
    observed::Observed,
    recorded,
    text::cut,
};
use active::active;
use after::ended;
use begin::{first, stuck};
pub(crate) use budget::CONDITION_MESSAGE_BYTES;
use effects::Scene;
use step::{Owner, Step};

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
    // also without a journal: its Pods have our finalizer, and somebody has to take it off
    if !held && run.metadata.deletion_timestamp.is_none() {
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
        owner: Owner::of(run, uid),
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
        room: None,
        short_of: None,
        held_up: false,
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
    step.tell_of_forged();
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
        let journal = self.status.journal.as_ref();
        let stalled = journal.and_then(|journal| recorded::stalled(journal, &self.seen.journal));
        let stalled = stalled
            .as_ref()
            .map(|(reason, message)| (*reason, message.as_str()));
        let mut facts = if self.status.finished_at.is_some() {
            let outcome = self.outcome();
            let (reason, message) = self.end_text(outcome);
            let message = cut(&message, CONDITION_MESSAGE_BYTES);
            let succeeded = outcome == dcanary_types::record::Outcome::Succeeded;
            conditions::run(RunState::Ended {
                succeeded,
                reason,
                message: &message,
                stalled,
            })
        } else {
            let (reason, message) = self.active_text();
            let message = cut(&message, CONDITION_MESSAGE_BYTES);
            conditions::run(RunState::Active {
                reason,
                message: &message,
                stalled,
            })
        };
        if let Some(journal) = &self.status.journal {
            let started = self.status.started_at.unwrap_or(self.now);
            let conditions = &self.status.conditions;
            let (fact, wake) =
                recorded::condition(journal, conditions, started, &self.seen.journal, self.now);
            facts.push(fact);
            if let Some(wake) = wake {
                self.wake_at(wake);
            }
        }
        self.status.conditions = conditions::merge(&self.status.conditions, facts, generation, self.now);
        // it always fits: what is added without being able to wait was set aside before
        budget::make_room(&mut self.status, 0);
        let (rides, wake) = rides::only(old, &self.status, self.now);
        if rides && self.run.status.is_some() {
            self.status = old.clone();
        }
        if let Some(wake) = wake {
            self.wake_at(wake);
        }
        let scene = Scene {
            run: self.run,
            owner: self.owner,
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
