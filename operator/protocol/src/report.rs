//! Final reports of attempts and the operator's view of them.

use serde::{Deserialize, Serialize};

/// Outcome of one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StepOutcome {
    /// Exit code 0.
    Succeeded,
    /// Another exit code, or the step could not be carried out.
    Failed,
    /// Its `if` was false, or an earlier step failed.
    Skipped,
    /// Its time was over.
    TimedOut,
    /// Ended by a signal that the runner did not send.
    Killed,
}

/// Outcome of an attempt as its runner saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Every step succeeded, was skipped, or failed with `continueOnError`.
    Succeeded,
    /// A step failed.
    Failed,
    /// The stage's time was over.
    TimedOut,
    /// SIGTERM from outside the Pod.
    Cancelled,
    /// The runner itself could not do its work.
    Error,
}

/// A step in a final report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepReport {
    /// Name of the step.
    pub name: String,
    /// Its outcome.
    pub outcome: StepOutcome,
    /// Exit code, where there was a process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Start, RFC 3339; absent for skipped steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// End, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A result in a final report. Values of at most 4 KiB are inline as long as they have at most 64 KiB together, others by digest only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResultReport {
    /// Name of the result.
    pub name: String,
    /// Value, when it is inline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// `sha256:<hex>` of the value.
    pub digest: String,
    /// Length of the value in bytes.
    pub size: u64,
}

/// Kind of an uploaded artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ArtifactKind {
    /// One file as it is.
    File,
    /// A tar of a directory or of several files.
    Directory,
    /// An OCI image layout.
    Image,
    /// A test or scan report.
    Report,
}

/// An artifact in a final report. The digest is the one the server answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactReport {
    /// Name, unique in the stage.
    pub name: String,
    /// `sha256:<hex>` of the stored bytes (for images: of the manifest).
    pub digest: String,
    /// Size in bytes.
    pub size: u64,
    /// What it is.
    pub kind: ArtifactKind,
    /// Name and digest under which an image was pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// Body of `POST /v1/attempts/{attempt}/uploads/{name}/complete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadComplete {
    /// What was uploaded.
    pub kind: ArtifactKind,
    /// Bytes that were sent.
    pub size: u64,
    /// What the runner computed while sending, `sha256:<hex>`.
    pub digest: String,
    /// Media type, e.g. `application/x-tar`.
    pub media_type: String,
    /// File name for downloads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// Images: repository and tag to push to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// Answer to a completed upload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stored {
    /// `sha256:<hex>` of what is stored.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
    /// Images: digest of the pushed manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// Images: `repository@sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// Reason of a report whose stage failed because a step's own time was over.
pub const STEP_TIMED_OUT: &str = "StepTimedOut";

/// Body of `POST /v1/attempts/{attempt}/final`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FinalReport {
    /// How the attempt ended.
    pub outcome: Outcome,
    /// One CamelCase word, e.g. `StepFailed`, `StepTimedOut`, `StageTimedOut`, `Cancelled`, `CheckoutFailed`.
    pub reason: String,
    /// What happened, for people; no secrets.
    #[serde(default)]
    pub message: String,
    /// Number of frames in the stream.
    pub frames: u64,
    /// Every step of the plan.
    pub steps: Vec<StepReport>,
    /// Results.
    #[serde(default)]
    pub results: Vec<ResultReport>,
    /// Artifacts.
    #[serde(default)]
    pub artifacts: Vec<ArtifactReport>,
    /// Set by the server: a second trade of the attempt's token was refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub second_trade: bool,
}

/// Answer to a final report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalAnswer {
    /// Position in the list of reports.
    pub cursor: u64,
}

/// One entry of the operator's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportEntry {
    /// Position in the list; grows, never reused.
    pub cursor: u64,
    /// Pod UID.
    pub attempt: String,
    /// Namespace of the Pod.
    pub namespace: String,
    /// Name of the Pod.
    pub pod: String,
    /// Name of the run, from the Pod's label.
    pub run: String,
    /// UID of the run, from the Pod's owner reference.
    pub run_uid: String,
    /// `None`: a notice that a second trade was refused after the final report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<FinalReport>,
    /// A second trade was refused.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub second_trade: bool,
}

/// Answer to `GET /v1/reports`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reports {
    /// Entries after the asked cursor, in order.
    pub reports: Vec<ReportEntry>,
    /// Cursor to ask with next.
    pub next: u64,
    /// The store has been full since then (RFC 3339): build Pods wait until there is space again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_full_since: Option<String>,
}

/// Body of `POST /v1/reports/ack`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckRequest {
    /// Everything up to here is persisted in statuses.
    pub cursor: u64,
}
