//! Environments: where releases run, and under which rules they get there. Policy only: what runs is decided by Promotions and Decisions.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Analysis, Duration, EnvironmentStatus, Ledger, Stage, Strategy, Traffic, Workload};

/// A place where releases run, and the rules under which they get there.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "dcanary.dev",
    version = "v1alpha1",
    kind = "Environment",
    namespaced,
    status = "EnvironmentStatus",
    shortname = "denv",
    category = "dcanary",
    derive = "PartialEq",
    doc = "A place where releases run, and the rules under which they get there. A Promotion brings a Release into it.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Stable", type_ = "string", json_path = ".status.stable.release"),
    printcolumn(name = "Candidate", type_ = "string", json_path = ".status.rollout.release"),
    printcolumn(name = "Weight", type_ = "integer", json_path = ".status.rollout.weight"),
    printcolumn(name = "Step", type_ = "string", json_path = ".status.rollout.progress"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Progressing')].reason"
    ),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Progressing')].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.strategy.canary) || !has(self.workload.template) || !has(self.workload.template.kind) || self.workload.template.kind == 'Deployment'").message("canary needs a Deployment: StatefulSets and DaemonSets are updated in place, with strategy.rolling"),
    validation = Rule::new("!has(self.strategy.blueGreen) || !has(self.workload.template) || !has(self.workload.template.kind) || self.workload.template.kind == 'Deployment'").message("blueGreen needs a Deployment: StatefulSets and DaemonSets are updated in place, with strategy.rolling"),
    validation = Rule::new("has(self.traffic) || !(has(self.strategy.canary) || has(self.strategy.blueGreen))").message("canary and blueGreen move traffic between releases: give traffic.ports")
)]
pub struct EnvironmentSpec {
    /// Project under which releases are recorded. Default: the operator's project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub project: Option<String>,
    /// Environment whose successful releases may come here. Without it any Release may be promoted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotes_from: Option<PromotesFrom>,
    /// Who may promote into it besides its own namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allowed_from: Option<AllowedFrom>,
    /// Service account of this namespace under which the operator writes workloads, Services and routes. Default: `default`. Objects that
    /// it may not write are not written: the message of the condition names the missing right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub service_account_name: Option<String>,
    /// How many Pods the stable release has; what a HorizontalPodAutoscaler or KEDA scales (`scaleTargetRef` names the Environment): for
    /// these it must be set once, because `/scale` answers an error without it. Default: 1, or as many as the adopted Deployment has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub replicas: Option<i32>,
    /// What runs here.
    pub workload: Workload,
    /// How a release replaces the one before. Default: `rolling`.
    #[serde(default)]
    pub strategy: Strategy,
    /// How requests reach the workload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub traffic: Option<Traffic>,
    /// Metrics watched during the whole rollout, from the first step with weight on. Steps may name further ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,
    /// Approvals that a release needs before it is deployed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// Times in which nothing is deployed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub freeze: Vec<FreezeWindow>,
    /// Stages that run around a rollout, for instance migrations.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hooks: Option<Hooks>,
    /// What happens when a rollout fails.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback: Option<Rollback>,
    /// Which earlier releases are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history: Option<History>,
    /// What happens to the workload when the Environment is deleted. Default: `Orphan`.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// Time in which a release must become ready, and a step may wait for its Pods, before the rollout counts as failed. Default: `10m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress_deadline: Option<Duration>,
    /// How rollouts are recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ledger: Option<Ledger>,
}

/// The environment before this one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromotesFrom {
    /// Name of the Environment.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Its namespace. Default: this Environment's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
    /// Promote each release by itself once it has succeeded there. Default: false, on request only.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub auto: bool,
    /// How long a release must have been stable there. Default: no time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soak: Option<Duration>,
}

/// Namespaces whose Promotions count.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AllowedFrom {
    /// Names of namespaces, besides the Environment's own.
    #[serde(default)]
    #[schemars(length(max = 50), inner(length(min = 1, max = 63)))]
    pub namespaces: Vec<String>,
}

/// Approvals that a release needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.users) || has(self.groups)").message("name users or groups who may approve"))]
pub struct Approval {
    /// How many different people must approve. Default: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20))]
    pub required: Option<i32>,
    /// User names that may approve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 253)))]
    pub users: Vec<String>,
    /// Groups whose members may approve.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(min = 1, max = 253)))]
    pub groups: Vec<String>,
    /// Whoever asked for the promotion may approve it too. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_self: bool,
    /// A promotion that is not approved in this time since it could first be is aborted. Default: it waits for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
}

/// A time in which nothing is deployed. Automatic rollbacks are not held up by it; a Decision `override` with a reason lets one promotion through.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FreezeWindow {
    /// What people are told. Example: `year-end close`.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Starts, as cron with five fields. Example: `0 18 * * 5`.
    #[schemars(length(min = 9, max = 128))]
    pub start: String,
    /// How long each lasts, at most 366 days. Example: `63h`.
    pub duration: Duration,
    /// Time zone of `start`. Default: `UTC`. Example: `Europe/Zurich`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: Option<String>,
}

/// Stages around a rollout. They run as a PipelineRun in the Environment's namespace, with params `environment`, `release` and `image_<name>`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(!has(self.preDeploy) || self.preDeploy.all(stage, !has(stage.environment))) && (!has(self.postDeploy) || self.postDeploy.all(stage, !has(stage.environment))) && (!has(self.onRollback) || self.onRollback.all(stage, !has(stage.environment)))").message("a stage of a hook deploys nothing, because the rollout waits for it: remove its environment"))]
pub struct Hooks {
    /// Before anything of the release is deployed; a failure ends the promotion.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub pre_deploy: Vec<Stage>,
    /// After all traffic is on the release; a failure rolls it back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub post_deploy: Vec<Stage>,
    /// After a rollback; a failure is shown and recorded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub on_rollback: Vec<Stage>,
}

/// What happens when a rollout fails.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollback {
    /// `Immediate` (default): all traffic back at once. `Steps`: through the weights of the passed steps, so that the stable release is not
    /// overrun where it was scaled down.
    #[serde(default)]
    pub mode: RollbackMode,
    /// How many of the most recent releases may be returned to without steps and analysis. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 20))]
    pub window: Option<i32>,
}

/// How traffic goes back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RollbackMode {
    /// At once.
    #[default]
    Immediate,
    /// Through the weights of the steps that were passed, in reverse.
    Steps,
}

/// Which earlier releases are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// How many earlier releases keep their Pods ready to return. Default: 0; they are scaled to zero after `scaleDownDelay`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10))]
    pub ready: Option<i32>,
    /// How many earlier releases keep their objects, scaled to zero. Older ones are deleted. Default: 5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 50))]
    pub limit: Option<i32>,
}

/// What happens to the workload when the Environment is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// Everything keeps running, owned by nobody.
    #[default]
    Orphan,
    /// All that was created for the Environment is deleted.
    Delete,
    /// An adopted workload gets the stable release's Pod template and its replicas back; then what was created is deleted.
    GiveBack,
}
