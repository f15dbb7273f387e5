//! What is known about an attempt besides its log: `attempt.json`.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use dcanary_protocol::report::{ArtifactKind, FinalReport, StepOutcome};
use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::names::{AttemptId, ItemName, Namespace, RunUid};

/// An attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// UID of its Pod.
    pub attempt: AttemptId,
    /// Namespace of the Pod.
    pub namespace: Namespace,
    /// Name of the Pod.
    pub pod: String,
    /// The run; none only in what servers wrote that took Pods of no run.
    pub run: Option<RunPlace>,
    /// Time of the first trade, milliseconds since 1970.
    pub opened: u64,
    /// SHA-256 of the session key.
    pub key: Digest,
    /// The session was closed by the operator.
    #[serde(default)]
    pub revoked: bool,
    /// A second trade was refused.
    #[serde(default)]
    pub second_trade: bool,
    /// Highest synced frame when this was written; the log may be further.
    #[serde(default)]
    pub acked: u64,
    /// Frames dropped from the middle of the log.
    #[serde(default)]
    pub dropped_frames: u64,
    /// Bytes dropped from the middle of the log.
    #[serde(default)]
    pub dropped_bytes: u64,
    /// Steps by index.
    #[serde(default)]
    pub steps: BTreeMap<u32, StepRecord>,
    /// Results by name.
    #[serde(default)]
    pub results: BTreeMap<ItemName, ResultRecord>,
    /// Artifacts by name.
    #[serde(default)]
    pub artifacts: BTreeMap<ItemName, ArtifactRecord>,
    /// The final report.
    #[serde(default)]
    pub end: Option<EndRecord>,
}

/// Where an attempt belongs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunPlace {
    /// Name of the run.
    pub name: String,
    /// UID of the run.
    pub uid: RunUid,
    /// Name of the stage.
    pub stage: String,
    /// Number of the attempt.
    pub number: u32,
}

/// A step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepRecord {
    /// Its name.
    pub name: String,
    /// Start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// End.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// Outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<StepOutcome>,
    /// Exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultRecord {
    /// Digest of its value.
    pub digest: Digest,
    /// Length of its value.
    pub size: u64,
    /// A small value; larger ones are content by digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// An artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactRecord {
    /// What it is.
    pub kind: ArtifactKind,
    /// Digest of the stored bytes.
    pub digest: Digest,
    /// Their number.
    pub size: u64,
    /// Media type.
    pub media_type: String,
    /// File name for downloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// Images: digest of the manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<Digest>,
    /// Images: `repository@sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Stored, and for images pushed.
    pub complete: bool,
}

impl ArtifactRecord {
    /// The digest that reports name: of the manifest for images.
    pub fn named(&self) -> Digest {
        self.manifest.unwrap_or(self.digest)
    }
}

/// A final report in its list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EndRecord {
    /// Its position.
    pub cursor: u64,
    /// When it came, milliseconds since 1970.
    pub at: u64,
    /// The report as the runner sent it.
    pub report: FinalReport,
}

/// Why nothing more is taken from an attempt. Whoever changes a record asks under its lock: a request that was let in
/// may have waited for its body since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// The operator has closed its session.
    Revoked,
    /// It has sent its final report.
    Final,
}

/// Which attempt is where: `attempts/<attempt>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Pointer {
    /// An attempt that has traded its token.
    At {
        /// Namespace of the Pod.
        namespace: Namespace,
        /// UID of the run.
        run: Option<RunUid>,
    },
    /// Closed before it traded its token.
    Revoked,
}

impl Record {
    /// Directory of the attempt.
    pub fn dir(&self) -> String {
        dir(
            &self.namespace,
            self.run.as_ref().map(|run| &run.uid),
            &self.attempt,
        )
    }

    /// Bytes of its results.
    pub fn result_bytes(&self) -> u64 {
        self.results.values().map(|result| result.size).sum()
    }

    /// Why nothing more is taken from it, when that is so.
    pub fn over(&self) -> Option<Over> {
        if self.revoked {
            Some(Over::Revoked)
        } else {
            self.end.as_ref().map(|_| Over::Final)
        }
    }

    /// Nothing more is taken from it.
    pub fn is_over(&self) -> bool {
        self.over().is_some()
    }
}

/// Directory of an attempt.
pub fn dir(namespace: &Namespace, run: Option<&RunUid>, attempt: &AttemptId) -> String {
    format!("{}/{attempt}", run_dir(namespace, run))
}

/// Directory of a run; attempts without one share a name that no UID has.
pub fn run_dir(namespace: &Namespace, run: Option<&RunUid>) -> String {
    format!("runs/{namespace}/{}", run.map_or("-", RunUid::as_str))
}

/// File of a [`Pointer`].
pub fn pointer_path(attempt: &AttemptId) -> String {
    format!("attempts/{attempt}.json")
}

/// Milliseconds since 1970, now.
pub fn now_millis() -> u64 {
    millis(SystemTime::now())
}

/// Milliseconds since 1970.
pub fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
