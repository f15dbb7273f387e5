//! Runs: one attempt at a Pipeline.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{PipelineDefinition, PipelineRunStatus, Timeouts};

/// One run of a pipeline. Its spec never changes after creation, except `cancel`.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "dcanary.dev",
    version = "v1alpha1",
    kind = "PipelineRun",
    namespaced,
    status = "PipelineRunStatus",
    shortname = "dpr",
    category = "dcanary",
    derive = "PartialEq",
    doc = "One run of a pipeline. Wait for its end with `kubectl wait --for=condition=Finished dpr/NAME`.",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    selectable = ".spec.pipelineRef.name",
    printcolumn(name = "Pipeline", type_ = "string", json_path = ".spec.pipelineRef.name"),
    printcolumn(
        name = "Succeeded",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Succeeded')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Succeeded')].reason"
    ),
    printcolumn(name = "Stages", type_ = "string", json_path = ".status.progress"),
    printcolumn(name = "Started", type_ = "date", json_path = ".status.startedAt"),
    printcolumn(name = "Completed", type_ = "date", json_path = ".status.finishedAt"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(
        name = "Commit",
        type_ = "string",
        json_path = ".spec.source.commit",
        priority = 1
    ),
    printcolumn(
        name = "Block",
        type_ = "integer",
        json_path = ".status.journal.block",
        priority = 1
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Succeeded')].message",
        priority = 1
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.pipelineRef) != has(self.pipelineSpec)").message("give exactly one of pipelineRef and pipelineSpec"),
    validation = Rule::new("!has(oldSelf.cancel) || !oldSelf.cancel || (has(self.cancel) && self.cancel)").message("a cancelled run cannot be resumed: create a new one"),
    validation = Rule::new("has(self.pipelineRef) == has(oldSelf.pipelineRef) && (!has(self.pipelineRef) || self.pipelineRef == oldSelf.pipelineRef)").message("pipelineRef cannot change after creation"),
    validation = Rule::new("has(self.params) == has(oldSelf.params) && (!has(self.params) || self.params == oldSelf.params)").message("params cannot change after creation"),
    validation = Rule::new("has(self.source) == has(oldSelf.source) && (!has(self.source) || self.source == oldSelf.source)").message("source cannot change after creation"),
    validation = Rule::new("has(self.trigger) == has(oldSelf.trigger) && (!has(self.trigger) || self.trigger == oldSelf.trigger)").message("trigger cannot change after creation"),
    validation = Rule::new("has(self.timeouts) == has(oldSelf.timeouts) && (!has(self.timeouts) || self.timeouts == oldSelf.timeouts)").message("timeouts cannot change after creation"),
    validation = Rule::new("has(self.pipelineSpec) == has(oldSelf.pipelineSpec) && (!has(self.pipelineSpec) || self.pipelineSpec == oldSelf.pipelineSpec)").message("pipelineSpec cannot change after creation")
)]
pub struct PipelineRunSpec {
    /// Pipeline of the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_ref: Option<PipelineRef>,
    /// Definition inline, instead of `pipelineRef`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipeline_spec: Option<PipelineDefinition>,
    /// Values of parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub params: Vec<ParamValue>,
    /// What is built. Default: the pipeline's source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<RunSource>,
    /// Who or what started the run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
    /// Time limits; those given here win over the pipeline's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// Set to true to cancel the run: running stages are stopped, `finally` stages still run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cancel: bool,
}

/// Names a Pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PipelineRef {
    /// Name of the Pipeline.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Value of a parameter.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParamValue {
    /// Name of the parameter.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its value, at most 32 KiB.
    #[schemars(length(max = 32768))]
    pub value: String,
}

/// What a run builds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
// the pattern of `commit` takes 64 digits, so that they are answered in words
#[x_kube(validation = Rule::new("!has(self.commit) || size(self.commit) != 64").message("commit: 64 digits are the id of a commit in a repository with SHA-256, which cannot be checked out: only repositories with SHA-1 can, whose ids have 40"))]
pub struct RunSource {
    /// Repository. Default: the pipeline's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub repo: Option<String>,
    /// Branch or tag. Default: the pipeline's.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reference: Option<String>,
    /// Commit: 40 hex digits; the 64 of repositories with SHA-256 are not supported. Default: what the ref names when `checkout` runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), regex(pattern = "^([0-9a-f]{40}|[0-9a-f]{64})$"))]
    pub commit: Option<String>,
}

/// Who or what started a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// Person or machine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub by: Option<String>,
    /// Event: `manual`, `push`, `pullRequest`, `tag`, `release`, `schedule`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub event: Option<String>,
}
