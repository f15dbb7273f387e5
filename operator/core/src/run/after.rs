//! A run that has ended.

use dcanary_crds::{Condition, ConditionStatus, ConditionType, PipelineRun, PipelineRunStatus};
use jiff::Timestamp;

use super::{
    budget,
    effects::{self, Scene},
    rides,
    step::Owner,
    still,
};
use crate::{
    conditions::{self, Fact, RunState},
    effect::{Plan, Wake},
    journal,
    observed::{JournalSeen, Observed},
    recorded,
};

/// A run that has ended: nothing of it changes any more but its place in the journal.
pub(super) fn ended(
    run: &PipelineRun,
    uid: &str,
    seen: &Observed,
    now: Timestamp,
    old: PipelineRunStatus,
) -> Plan {
    let mut status = old.clone();
    let unneeded = status
        .journal
        .as_mut()
        .map(|journal| journal::update(journal, &seen.journal, uid, now))
        .unwrap_or_default();
    let generation = run.metadata.generation.unwrap_or_default();
    let mut facts = standing(&status, &seen.journal);
    let mut wake = Wake::OnChange;
    if let Some(journal) = &status.journal {
        let started = status.started_at.unwrap_or(now);
        let (fact, at) = recorded::condition(journal, &status.conditions, started, &seen.journal, now);
        facts.push(fact);
        wake = at.map_or(wake, Wake::At);
    }
    let told = conditions::merge(&status.conditions, facts, generation, now);
    // what is as it was keeps its generation too: nothing of an ended run changes because its spec did
    for fact in told {
        match status.conditions.iter_mut().find(|old| old.kind == fact.kind) {
            Some(old) if same(old, &fact) => {}
            Some(old) => *old = fact,
            None => status.conditions.push(fact),
        }
    }
    status.conditions.sort_by_key(|condition| condition.kind);
    budget::make_room(&mut status, 0);
    let (rides, _) = rides::only(&old, &status, now);
    if rides {
        status = old;
    }
    let scene = Scene {
        run,
        owner: Owner::of(run, uid),
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

/// How the run ended, once more, beside what is wrong with its journal now.
fn standing(status: &PipelineRunStatus, journal: &JournalSeen) -> Vec<Fact> {
    let Some(end) = conditions::find(&status.conditions, ConditionType::Succeeded) else {
        return Vec::new();
    };
    let stalled = status
        .journal
        .as_ref()
        .and_then(|own| recorded::stalled(own, journal));
    conditions::run(RunState::Ended {
        succeeded: end.status == ConditionStatus::True,
        reason: &end.reason,
        message: &end.message,
        stalled: stalled
            .as_ref()
            .map(|(reason, message)| (*reason, message.as_str())),
    })
}

fn same(old: &Condition, new: &Condition) -> bool {
    (old.status, &old.reason, &old.message) == (new.status, &new.reason, &new.message)
}
