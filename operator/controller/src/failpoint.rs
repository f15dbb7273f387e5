//! Places where a test kills the operator.
//!
//! `DCANARY_FAILPOINT=before:CreatePod` ends the process there, once: a marker in `/tmp` (which outlives the container, not the Pod)
//! says that it has fired. Without the variable nothing happens.

use std::{path::Path, sync::OnceLock};

use dcanary_core::Effect;

/// Before or after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Before it.
    Before,
    /// After it.
    After,
}

/// Every boundary at which the operator can be killed. A new effect without a name here does not compile.
pub const fn name(effect: &Effect) -> &'static str {
    match effect {
        Effect::HoldRun => "HoldRun",
        Effect::CreatePod(_) => "CreatePod",
        Effect::DeletePod(_) => "DeletePod",
        Effect::ReleasePod(_) => "ReleasePod",
        Effect::RevokeSession { .. } => "RevokeSession",
        Effect::SealOutbox(_) => "SealOutbox",
        Effect::DropSealed { .. } => "DropSealed",
        Effect::AckReports { .. } => "AckReports",
        Effect::ReleaseRun => "ReleaseRun",
    }
}

/// Name of the boundary around a status write.
pub const STATUS: &str = "WriteStatus";

const MARKER: &str = "/tmp/failpoint-fired";

fn chosen() -> Option<&'static str> {
    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    CHOSEN
        .get_or_init(|| {
            std::env::var("DCANARY_FAILPOINT")
                .ok()
                .filter(|text| !text.is_empty())
        })
        .as_deref()
}

/// Ends the process here when this boundary is the chosen one and has not fired yet.
pub fn hit(side: Side, boundary: &str) {
    let Some(chosen) = chosen() else { return };
    let here = match side {
        Side::Before => "before",
        Side::After => "after",
    };
    let fits = chosen
        .split_once(':')
        .is_some_and(|(side, name)| side == here && name == boundary);
    if fits && !Path::new(MARKER).exists() && std::fs::write(MARKER, chosen).is_ok() {
        tracing::error!(failpoint = chosen, "killed by a failpoint");
        std::process::abort();
    }
}
