//! Pipelines: definitions that can be run.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Condition, Duration, Stage};

/// A pipeline: stages, what they need, and how they are run.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "dcanary.dev",
    version = "v1alpha1",
    kind = "Pipeline",
    namespaced,
    status = "PipelineStatus",
    shortname = "dpl",
    category = "dcanary",
    derive = "PartialEq",
    doc = "A pipeline: stages as a graph. A PipelineRun runs it once.",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "Stages", type_ = "integer", json_path = ".status.stages"),
    printcolumn(
        name = "Digest",
        type_ = "string",
        json_path = ".status.definition",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct PipelineSpec {
    /// Project under which runs are recorded. Default: the operator's project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub project: Option<String>,
    /// What is run.
    #[serde(flatten)]
    pub definition: PipelineDefinition,
}

/// What is run: the part of a Pipeline that a PipelineRun may also hold inline.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineDefinition {
    /// Parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub params: Vec<Param>,
    /// Repository that `checkout` takes by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Source>,
    /// Stages, in any order; `dependsOn` makes the graph.
    #[schemars(length(min = 1, max = 256))]
    pub stages: Vec<Stage>,
    /// Stages that run after all others have ended, however they ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50))]
    pub finally: Vec<Stage>,
    /// How many stages of a run may run at once. Default: no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub parallelism: Option<i32>,
    /// Time limits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// Secrets with which images are pulled, in the run's namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 253)))]
    pub image_pull_secrets: Vec<String>,
    /// How runs are recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Ledger>,
}

/// A parameter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Param {
    /// Name; letters, digits and `_`. In scripts: `"$PARAM_<name>"`.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[A-Za-z_][A-Za-z0-9_]*$"))]
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub description: Option<String>,
    /// Value when a run gives none. Without it the parameter is required.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32768))]
    pub default: Option<String>,
}

/// A repository.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Source {
    /// URL, without password or token, and for https without user name: `credentials` is for them. Example: `https://git.example.com/team/web.git`.
    #[schemars(length(min = 1, max = 2048))]
    pub repo: String,
    /// Branch or tag when a run names none. Default: `HEAD`.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reference: Option<String>,
    /// Secret with credentials: keys `token` and `username`, or `ssh-privatekey` and `known_hosts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub credentials: Option<String>,
}

/// Time limits of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Timeouts {
    /// Time that a Pod may wait for a node, its image and its volumes. Default: `15m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending: Option<Duration>,
    /// Time for all stages but `finally`. Default: `6h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<Duration>,
    /// Time for the `finally` stages. Default: `30m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finally: Option<Duration>,
}

/// How runs are recorded.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Ledger {
    /// `queue` (default): recorded as soon as the chain answers, builds never wait. `off`: nothing is recorded.
    #[serde(default)]
    pub mode: LedgerMode,
}

/// Whether runs are recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LedgerMode {
    /// Recorded; builds never wait for the chain.
    #[default]
    Queue,
    /// Not recorded.
    Off,
}

/// What the operator found out about a Pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineStatus {
    /// Generation that this status is about.
    #[serde(default)]
    pub observed_generation: i64,
    /// `Ready`, and `Stalled` when the definition is wrong.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Content digest of the definition, `sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// Number of stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stages: Option<i32>,
}
