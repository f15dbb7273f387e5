//! Promotions: one attempt to bring one Release into one Environment.

use jiff::Timestamp;
use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{AnalysisStatus, Condition, ReleaseSource};

/// One attempt to bring one Release into one Environment. Its spec never changes.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "dcanary.dev",
    version = "v1alpha1",
    kind = "Promotion",
    namespaced,
    status = "PromotionStatus",
    shortname = "dprom",
    category = "dcanary",
    derive = "PartialEq",
    doc = "One attempt to bring one Release into one Environment. Wait for its end with `kubectl wait --for=condition=Finished dprom/NAME`.",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    printcolumn(
        name = "Environment",
        type_ = "string",
        json_path = ".spec.environmentRef.name"
    ),
    printcolumn(name = "Release", type_ = "string", json_path = ".spec.releaseRef.name"),
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
    printcolumn(name = "Step", type_ = "string", json_path = ".status.progress"),
    printcolumn(name = "Weight", type_ = "integer", json_path = ".status.weight"),
    printcolumn(
        name = "Message",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Succeeded')].message",
        priority = 1
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self == oldSelf").message("a Promotion never changes: create a new one"),
    validation = Rule::new("!has(self.identity) || (has(self.undo) && self.undo)").message("identity names an earlier release, which comes again with undo: true")
)]
pub struct PromotionSpec {
    /// The Environment.
    pub environment_ref: EnvironmentRef,
    /// The Release, in the Promotion's namespace.
    pub release_ref: ReleaseRef,
    /// User name of whoever asks; equals the user that creates it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub requested_by: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
    /// The release may be older than the stable one. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub undo: bool,
    /// With `undo`: identity of the earlier release that comes again as it was, `sha256:…`. Its Release need not be there. Default: the latest of
    /// that name that is not held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^sha256:[0-9a-f]{64}$"))]
    pub identity: Option<String>,
}

/// Names an Environment.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentRef {
    /// Name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// Namespace. Default: the Promotion's. Another one must be allowed by the Environment's `allowedFrom`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// Names a Release.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReleaseRef {
    /// Name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// How a promotion is going. Written after the Environment's status, from which it is taken.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PromotionStatus {
    /// Generation that this status is about.
    #[serde(default)]
    pub observed_generation: i64,
    /// `Succeeded`, `Finished`, `Reconciling`, `Stalled`, `Paused`.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Identity of the release in this environment: images, Pod template, configuration. `sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// Passed steps and all steps, e.g. `2/5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// Percent of requests that go to the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<i32>,
    /// When it could first be approved: all else that it waited for was there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub approvable_since: Option<Timestamp>,
    /// When it was taken up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub finished_at: Option<Timestamp>,
    /// Who approved, in the order in which it counted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub approvals: Vec<ApprovalStatus>,
    /// Analyses, the first first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub analyses: Vec<AnalysisStatus>,
    /// What the promotion changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
}

/// An approval that counts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ApprovalStatus {
    /// User.
    pub by: String,
    /// UID of the Decision.
    pub decision: String,
    /// When it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub at: Option<Timestamp>,
}

/// What a promotion changes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Changes {
    /// Source of the stable release before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<ReleaseSource>,
    /// Source of the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ReleaseSource>,
    /// Images that differ, `name: old → new`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub images: Vec<String>,
    /// Keys of configuration that differ, `+map/key`, `-map/key`, `~map/key`, and paths of the Pod template that do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub configuration: Vec<String>,
}
