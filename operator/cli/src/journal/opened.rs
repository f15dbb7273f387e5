//! Whether a run's object is the one whose opening is recorded: pure.

use dcanary_core::{
    Limits, Observed,
    definition::{Definition, parse_digest},
    resolve,
};
use dcanary_crds::{JournalStatus, PipelineDefinition, PipelineRun, PipelineRunStatus, StageStatus, labels};
use dcanary_types::record::{Source, Transition};
use jiff::Timestamp;

/// Compares name, definition, parameters and source of a run with its first record.
pub(super) fn compare(
    run: &PipelineRun,
    status: &PipelineRunStatus,
    first: &Transition,
) -> Result<(), String> {
    let Transition::RunOpened {
        name,
        definition: recorded,
        params,
        source,
        ..
    } = first
    else {
        return Ok(());
    };
    let here = format!(
        "{}/{}",
        run.metadata.namespace.as_deref().unwrap_or_default(),
        run.metadata.name.as_deref().unwrap_or_default()
    );
    if *name != here {
        return Err(format!(
            "the ledger holds this run as {name}, the cluster as {here}"
        ));
    }
    let Some(digest) = &status.definition else {
        return Err(
            "status.definition is not there, and the ledger holds the digest of one: whoever took it away hides which definition ran"
                .to_owned(),
        );
    };
    if parse_digest(digest) != Some(*recorded) {
        return Err("status.definition: the status names another definition than the ledger".to_owned());
    }
    // The digest alone shows nobody what ran; what the status keeps beside it is read by the operator and by people.
    let definition = Definition::decode(status.resolved.as_deref(), Some(digest))
        .map_err(|error| format!("status.resolved: {error}"))?;
    given(run, &definition)?;
    let Some(Transition::RunOpened {
        params: shown_params,
        source: shown_source,
        ..
    }) = would_open(run, status, &definition)
    else {
        return Err("status.resolved: no run can be opened with this definition".to_owned());
    };
    if shown_params != *params {
        return Err(
            "spec.params: the run has other parameters in the cluster than those whose digest is in the ledger"
                .to_owned(),
        );
    }
    if shown_source != *source {
        return Err(format!(
            "spec.source: the run is built from {} in the cluster and from {} in the ledger",
            told(shown_source.as_ref()),
            told(source.as_ref())
        ));
    }
    Ok(())
}

/// Parameters with which no run begins were not there when this one did. A digest cannot show them: it is of those that are declared.
fn given(run: &PipelineRun, definition: &Definition) -> Result<(), String> {
    let declared = PipelineDefinition {
        params: definition.params.clone(),
        ..PipelineDefinition::default()
    };
    // How long a value may be is for each installation to say, and it may have said otherwise since.
    let any_length = Limits {
        param_bytes: usize::MAX,
        ..Limits::default()
    };
    match resolve::wrong_params(&declared, &run.spec, &any_length).first() {
        Some(problem) => Err(format!(
            "{problem}; the run that the ledger holds did not begin like this"
        )),
        None => Ok(()),
    }
}

/// The first record that the operator writes of such a run. It is asked for its plan, so that its digests are made in one place only.
fn would_open(run: &PipelineRun, status: &PipelineRunStatus, definition: &Definition) -> Option<Transition> {
    let stages = definition.stages.iter().map(|stage| StageStatus {
        name: stage.stage.name.clone(),
        ..StageStatus::default()
    });
    let mut fresh = PipelineRun {
        metadata: run.metadata.clone(),
        spec: run.spec.clone(),
        status: Some(PipelineRunStatus {
            definition: status.definition.clone(),
            resolved: status.resolved.clone(),
            started_at: Some(Timestamp::UNIX_EPOCH),
            stages: stages.collect(),
            journal: Some(JournalStatus::default()),
            ..PipelineRunStatus::default()
        }),
    };
    // Nothing is recorded of a run that is not held.
    fresh.metadata.finalizers = Some(vec![labels::RECORDED.to_owned()]);
    // What it would begin next is not asked.
    let seen = Observed {
        slots: Some(0),
        ..Observed::default()
    };
    dcanary_core::next(&fresh, &seen, Timestamp::UNIX_EPOCH)
        .journal
        .into_iter()
        .next()
        .map(|record| record.transition)
}

fn told(source: Option<&Source>) -> String {
    let Some(source) = source else {
        return "no commit that is recorded".to_owned();
    };
    let reference = source.reference.as_deref().map(|name| format!("{name}, "));
    format!(
        "{} ({}commit {})",
        source.repo,
        reference.unwrap_or_default(),
        source.commit
    )
}
