//! Status of a run. One writer: the operator. Lists that only it writes are atomic.

use jiff::Timestamp;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Condition;

/// How a run is going.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineRunStatus {
    /// Generation that this status is about.
    #[serde(default)]
    pub observed_generation: i64,
    /// `Succeeded`, `Finished`, `Reconciling`, `Stalled`, `Recorded`.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Digest of the resolved definition, `sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// The resolved definition (JSON, zstd, base64): a run is not affected by later changes of its Pipeline or executors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved: Option<String>,
    /// Why the run is being ended before its stages are through: `Cancelled`, `TimedOut` or `Deleted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ending: Option<Ending>,
    /// Project under which the run is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// When the operator took it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub started_at: Option<Timestamp>,
    /// When its last stage had ended and the `finally` stages began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub finally_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub finished_at: Option<Timestamp>,
    /// Ended stages and all stages, e.g. `2/5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// Stages, in the order of the definition.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub stages: Vec<StageStatus>,
    /// Position in the journal, and what is not recorded yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<JournalStatus>,
}

/// Why a run is ended before its stages are through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Ending {
    /// Somebody asked for it.
    Cancelled,
    /// `timeouts.run` or `timeouts.finally` is over.
    TimedOut,
    /// The run or its namespace is being deleted.
    Deleted,
}

/// Where a stage is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum StageState {
    /// Waits for its needs or for its turn.
    #[default]
    Pending,
    /// An attempt is under way.
    Running,
    /// An attempt ended, another will follow.
    Retrying,
    /// Ended well.
    Succeeded,
    /// Ended badly.
    Failed,
    /// Did not run.
    Skipped,
    /// Was stopped, or its run was.
    Cancelled,
}

impl StageState {
    /// Nothing more will happen.
    pub const fn ended(self) -> bool {
        matches!(
            self,
            Self::Succeeded | Self::Failed | Self::Skipped | Self::Cancelled
        )
    }
}

/// One stage.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StageStatus {
    /// Name of the stage.
    pub name: String,
    /// Where it is.
    #[serde(default)]
    pub state: StageState,
    /// One CamelCase word that says why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The same for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// It is a `finally` stage.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub finally: bool,
    /// Its failure does not fail the run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// Start of the first attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub started_at: Option<Timestamp>,
    /// End of the last attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub finished_at: Option<Timestamp>,
    /// When the next attempt starts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub retry_at: Option<Timestamp>,
    /// Attempts, the first first.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub attempts: Vec<AttemptStatus>,
    /// Results of the attempt that decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub results: Vec<ResultStatus>,
    /// Artifacts of the attempt that decided.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub artifacts: Vec<ArtifactStatus>,
}

/// Outcome of an attempt. The first one persisted decides it for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum AttemptOutcome {
    /// All steps succeeded.
    Succeeded,
    /// A step failed.
    Failed,
    /// Out of time.
    TimedOut,
    /// Not by its own fault: eviction, node gone, server away. Repeated twice.
    Lost,
    /// The cluster refuses it: bad image name, forbidden Pod.
    Refused,
    /// Stopped because the run was cancelled or timed out.
    Cancelled,
}

/// One attempt of a stage: one Pod, or one Promotion.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptStatus {
    /// From 1.
    pub number: i32,
    /// Name of the Pod; empty for a stage with an `environment`.
    pub pod: String,
    /// Stages with an `environment`: what it asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<AttemptPromotion>,
    /// UID of the Pod, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<String>,
    /// Image that the stage runs in, with the digest as the kubelet reports it once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// When its Pod was to be created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub created_at: Option<Timestamp>,
    /// When its container started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub started_at: Option<Timestamp>,
    /// When its outcome was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub finished_at: Option<Timestamp>,
    /// The outcome.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<AttemptOutcome>,
    /// One CamelCase word that says why: `StepFailed`, `OutOfMemory`, `ImagePullFailed`, `Evicted`, …
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The same for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Exit code of the container, as the kubelet saw it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// The kubelet's view agrees with the runner's report. A gate rests only on confirmed attempts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub confirmed: bool,
    /// Runner and kubelet disagree, or the token was traded twice: no gate opens on this attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disputed: Option<String>,
    /// Position of the runner's final report in the server's list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<i64>,
    /// Steps, as the runner reported them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub steps: Vec<StepStatus>,
}

/// What an attempt of a stage with an `environment` asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AttemptPromotion {
    /// Name of the Promotion.
    pub name: String,
    /// Its UID, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<String>,
    /// Name of the Environment.
    pub environment: String,
    /// Name of the Release.
    pub release: String,
}

/// One step of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct StepStatus {
    /// Name of the step.
    pub name: String,
    /// `succeeded`, `failed`, `skipped`, `timedOut`, `killed`.
    pub outcome: String,
    /// Exit code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<String>,
    /// End.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// What went wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A result. Values of at most 4 KiB are inline, larger ones are kept by digest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResultStatus {
    /// Name of the result.
    pub name: String,
    /// Value, when it is at most 4 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// `sha256:…` of the value.
    pub digest: String,
    /// Length in bytes.
    pub size: i64,
}

/// An artifact.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ArtifactStatus {
    /// Name of the artifact.
    pub name: String,
    /// `sha256:…` of the stored bytes (images: of the manifest).
    pub digest: String,
    /// Size in bytes.
    pub size: i64,
    /// `file`, `directory`, `image` or `report`.
    pub kind: String,
    /// Images: where it was pushed, with the digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
}

/// The run's place in the journal.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct JournalStatus {
    /// Number of the next record.
    pub next: i64,
    /// Records that the chain holds: those with a smaller number.
    pub recorded: i64,
    /// Index of the block of the last recorded one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub block: Option<i64>,
    /// Graph document for the first record, base64; kept until that is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graph: Option<String>,
    /// Records that are not on chain yet, at most 64.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    #[schemars(length(max = 64))]
    pub pending: Vec<PendingRecord>,
    /// Records moved out of the status, in order, not on chain yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub sealed: Vec<SealedRecords>,
    /// Why the ledger refused a record, and which.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Number of that record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused_record: Option<i64>,
}

/// A record that is not on chain yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PendingRecord {
    /// Its number.
    pub n: i64,
    /// Block type.
    pub btype: String,
    /// When it happened, nanoseconds since 1970.
    pub claimed_ts: i64,
    /// The body, deterministic CBOR, base64.
    pub body: String,
}

/// Records in an immutable ConfigMap of the operator's namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct SealedRecords {
    /// Number of the first.
    pub first: i64,
    /// Number of the last.
    pub last: i64,
    /// `sha256:…` of their content hashes in order: a swapped ConfigMap is found.
    pub hash: String,
    /// Name of the ConfigMap.
    pub config_map: String,
}
