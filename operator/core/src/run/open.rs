//! The first visit: the definition is resolved and fixed, and the run is opened in the journal.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use dcanary_crds::{JournalStatus, LedgerMode, PipelineRun, PipelineRunStatus, StageStatus};
use dcanary_types::{
    Value, cbor,
    limits::MAX_BODY_BYTES,
    record::{Record, Source, Transition},
    value,
};
use jiff::Timestamp;

use super::budget;
use crate::{
    definition::{self, Definition},
    limits::Limits,
    resolve::{self, Unresolved},
    values,
};

/// The status of a run that begins.
///
/// # Errors
/// If the definition does not fit.
pub(super) fn status(
    definition: &Definition,
    limits: &Limits,
    now: Timestamp,
) -> Result<PipelineRunStatus, Unresolved> {
    let graph = definition.graph().map_err(|error| {
        Unresolved::Invalid(vec![crate::problem::Problem::new(
            "spec.stages",
            error.to_string(),
        )])
    })?;
    let journal = match definition.ledger {
        LedgerMode::Queue => Some(JournalStatus {
            graph: Some(STANDARD.encode(graph.encode())),
            ..JournalStatus::default()
        }),
        LedgerMode::Off => None,
    };
    let mut status = PipelineRunStatus {
        definition: Some(definition::text(&definition.digest()?)),
        resolved: Some(definition.encode(limits.definition_bytes)?),
        project: Some(definition.project.clone()),
        started_at: Some(now),
        stages: definition
            .stages
            .iter()
            .map(|stage| StageStatus {
                name: stage.stage.name.clone(),
                finally: stage.finally,
                optional: stage.stage.optional,
                ..StageStatus::default()
            })
            .collect(),
        journal,
        ..PipelineRunStatus::default()
    };
    if budget::make_room(&mut status, 0) {
        Ok(status)
    } else {
        Err(Unresolved::Status {
            stages: status.stages.len(),
            definition: status.resolved.as_ref().map_or(0, String::len),
        })
    }
}

/// The first record.
///
/// # Errors
/// If the definition cannot be read.
pub(super) fn record(
    run: &PipelineRun,
    uid: &str,
    definition: &Definition,
) -> Result<Transition, Unresolved> {
    let graph = definition.graph().map(|graph| graph.digest()).unwrap_or_default();
    let params: value::Map = resolve::params(definition, &run.spec)
        .into_iter()
        .map(|(name, value)| (name, Value::Text(value)))
        .collect();
    let meta = &run.metadata;
    let name = format!(
        "{}/{}",
        meta.namespace.as_deref().unwrap_or_default(),
        meta.name.as_deref().unwrap_or_default()
    );
    let of = values::source(run, definition);
    let source = of.repo.zip(of.commit).map(|(repo, commit)| Source {
        repo,
        reference: of.reference,
        commit,
    });
    let digest = definition.digest()?;
    let with = |source| Transition::RunOpened {
        name: name.clone(),
        definition: digest,
        graph,
        params: value::sha256(&cbor::encode(&Value::Map(params.clone()))),
        source,
    };
    let full = with(source);
    let length = Record {
        run: uid.to_owned(),
        n: 0,
        claimed_ts: 0,
        transition: full.clone(),
    }
    .encode_body()
    .len();
    // a repository with an address of thousands of characters is left out; the definition's digest still covers the pipeline's
    Ok(if length <= MAX_BODY_BYTES {
        full
    } else {
        with(None)
    })
}
