//! A run that has ended.

use dcanary_crds::{PipelineRun, PipelineRunStatus};
use jiff::Timestamp;

use super::{
    effects::{self, Scene},
    recorded, rides, still,
};
use crate::{
    conditions,
    effect::{Plan, Wake},
    journal,
    observed::Observed,
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
