//! The final report of an attempt: complete or not, the first or a repeat.

use std::sync::Arc;

use dcanary_protocol::report::{ArtifactReport, FinalReport, ResultReport};

use crate::attempts::Attempt;
use crate::attempts::record::{EndRecord, Record, now_millis};
use crate::core::Core;
use crate::digest::Digest;
use crate::session::{discard, entry};
use crate::store::fault::StoreFault;

/// Why a final report was not taken.
#[derive(Debug, thiserror::Error)]
pub enum FinalError {
    /// Something that it names is not stored.
    #[error("not stored: {}", missing.join(", "))]
    Incomplete {
        /// What.
        missing: Vec<String>,
    },
    /// The operator has closed the session.
    #[error("the session was closed by the operator")]
    Revoked,
    /// Another one was stored.
    #[error("the attempt has sent another final report")]
    Different,
    /// It contradicts itself.
    #[error("{0}")]
    Bad(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl FinalError {
    /// HTTP status and reason.
    pub fn reason(&self) -> (u16, &'static str) {
        match self {
            Self::Incomplete { .. } => (409, "incomplete"),
            Self::Revoked => (410, "session-revoked"),
            Self::Different => (409, "final"),
            Self::Bad(_) => (422, "bad-report"),
            Self::Store(fault) => fault.reason(),
        }
    }
}

/// Compares a report with what is stored.
///
/// # Errors
/// Names everything that is missing.
pub fn check(record: &Record, acked: u64, report: &FinalReport) -> Result<(), FinalError> {
    let mut missing = Vec::new();
    if report.frames != acked {
        missing.push(format!(
            "frames: {} are reported, {acked} are stored",
            report.frames
        ));
    }
    for result in &report.results {
        check_value(result)?;
        let stored = record
            .results
            .iter()
            .find(|(name, _)| name.as_str() == result.name);
        let same = stored.is_some_and(|(_, stored)| {
            stored.digest.to_string() == result.digest && stored.size == result.size
        });
        if !same {
            missing.push(format!("result {:?} with digest {}", result.name, result.digest));
        }
    }
    for artifact in &report.artifacts {
        let stored = record
            .artifacts
            .iter()
            .find(|(name, _)| name.as_str() == artifact.name);
        let same = stored.is_some_and(|(_, stored)| {
            stored.complete
                && stored.named().to_string() == artifact.digest
                && stored.size == artifact.size
                && stored.kind == artifact.kind
        });
        if !same {
            missing.push(format!(
                "artifact {:?} with digest {}",
                artifact.name, artifact.digest
            ));
        }
    }
    if missing.is_empty() {
        Ok(())
    } else {
        Err(FinalError::Incomplete { missing })
    }
}

fn check_value(result: &ResultReport) -> Result<(), FinalError> {
    match &result.value {
        Some(value) if Digest::of(value.as_bytes()).to_string() != result.digest => Err(FinalError::Bad(
            format!("result {:?}: value and digest do not agree", result.name),
        )),
        _ => Ok(()),
    }
}

/// What the runner says of itself counts only where the server does not know better.
fn as_known(record: &Record, report: FinalReport) -> FinalReport {
    let artifacts = report.artifacts.into_iter().map(|artifact| {
        let stored = record
            .artifacts
            .iter()
            .find(|(name, _)| name.as_str() == artifact.name);
        let reference = stored.and_then(|(_, stored)| stored.reference.clone());
        ArtifactReport {
            reference,
            ..artifact
        }
    });
    FinalReport {
        artifacts: artifacts.collect(),
        second_trade: false,
        ..report
    }
}

/// Takes a final report and returns its cursor. The same one again is answered alike.
///
/// # Errors
/// Nothing of it counts then.
pub async fn take(core: &Core, attempt: &Arc<Attempt>, report: FinalReport) -> Result<u64, FinalError> {
    let mut state = attempt.state.lock().await;
    if state.record.revoked {
        return Err(FinalError::Revoked);
    }
    let report = as_known(&state.record, report);
    if let Some(end) = &state.record.end {
        return if end.report == report {
            Ok(end.cursor)
        } else {
            Err(FinalError::Different)
        };
    }
    check(&state.record, state.acked(), &report)?;
    let mut next = state.clone();
    let (cursor, committed) = core.reports.append(|cursor| {
        next.record.end = Some(EndRecord {
            cursor,
            at: now_millis(),
            report: report.clone(),
        });
        let shown = FinalReport {
            second_trade: next.record.second_trade,
            ..report
        };
        let mut entry = entry(cursor, &next.record);
        entry.report = Some(shown);
        (entry, vec![attempt.store(&next.record)])
    });
    committed.durable().await.map_err(StoreFault::from)?;
    *state = next;
    attempt.show(&state);
    core.metrics.reports.inc();
    drop(state);
    discard(core, attempt).await;
    Ok(cursor)
}
