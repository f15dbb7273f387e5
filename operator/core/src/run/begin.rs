//! Runs that are not under way: not begun yet, or with a status that cannot be followed.

use dcanary_crds::{ConditionStatus, ConditionType, PipelineRun, PipelineRunStatus};
use jiff::Timestamp;

use super::{
    active::active,
    effects::{self, Scene},
    open,
    step::Owner,
    still,
};
use crate::{
    conditions::{self, Fact, RunState},
    effect::{Effect, Event, Plan, Wake},
    journal,
    observed::Observed,
    resolve::{self, Unresolved},
    time::later,
};

/// How long a Pipeline or executor that is not there is waited for, in seconds.
const RESOLVE_GRACE: u64 = 120;

/// A run that was not begun.
pub(super) fn first(
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
            owner: Owner::of(run, uid),
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
    let opened = resolve::resolve(&run.spec, seen).and_then(|mut definition| {
        if !seen.settings.ledger {
            definition.ledger = dcanary_crds::LedgerMode::Off;
        }
        Ok((open::status(&definition, &seen.settings.limits, now)?, definition))
    });
    match opened {
        // nothing may be decided before the run is held: what is decided must be recorded, and what is made must be taken away
        Ok(_) if !held => Plan {
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
        Err(error) => unresolved(run, old, &error, seen.settings.ledger, now),
    }
}

/// A run whose definition is missing waits a little; one whose definition is wrong has failed. The first record names the digest of the
/// definition, so nothing is recorded of a run that has none, and its condition says so.
fn unresolved(
    run: &PipelineRun,
    old: PipelineRunStatus,
    error: &Unresolved,
    ledger: bool,
    now: Timestamp,
) -> Plan {
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
    let mut facts = conditions::run(RunState::Ended {
        succeeded: false,
        reason,
        message: &message,
        stalled: None,
    });
    if ledger {
        facts.push(Fact::new(
            ConditionType::Recorded,
            ConditionStatus::False,
            "NeverBegan",
            "it has no definition that a record could name: nothing of it is in the journal",
        ));
    }
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
pub(super) fn stuck(
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
        .find(|condition| condition.kind == ConditionType::Recorded)
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
        owner: Owner::of(run, uid),
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
