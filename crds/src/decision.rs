//! Decisions: what people decide. Never created by the operator.

use jiff::Timestamp;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::release::DecidedKind;

/// What a person decided about a promotion or an environment. It never changes; it is withdrawn by another one.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "dcanary.dev",
    version = "v1alpha1",
    kind = "Decision",
    namespaced,
    shortname = "ddec",
    category = "dcanary",
    derive = "PartialEq",
    doc = "What a person decided about a promotion or an environment. Create it with `dcanary approve` and the like, or with kubectl.",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    selectable = ".spec.for.kind",
    selectable = ".spec.for.name",
    printcolumn(name = "Verb", type_ = "string", json_path = ".spec.verb"),
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.for.kind"),
    printcolumn(name = "Name", type_ = "string", json_path = ".spec.for.name"),
    printcolumn(name = "By", type_ = "string", json_path = ".spec.by.username"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".spec.reason", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self == oldSelf").message("a Decision never changes: create another one"),
    validation = Rule::new("!(self.verb in ['reject', 'hold', 'override']) || has(self.reason)").message("give a reason: it is recorded"),
    validation = Rule::new("!(self.verb in ['hold', 'unhold']) || has(self.__for__.digest)").message("name the release's identity in for.digest")
)]
pub struct DecisionSpec {
    /// What it is about.
    #[serde(rename = "for")]
    pub target: DecisionTarget,
    /// What was decided.
    pub verb: Verb,
    /// Who decided; equals the user that creates it.
    pub by: DecidedBy,
    /// Why. Needed for `reject`, `hold` and `override`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub reason: Option<String>,
    /// It does not count from this time on, and the pause or hold that it began ends. Default: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub expires_at: Option<Timestamp>,
}

/// What a decision is about. It counts only for exactly this object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecisionTarget {
    /// Kind.
    pub kind: DecidedKind,
    /// Name, in the Decision's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// UID.
    #[schemars(length(min = 1, max = 64))]
    pub uid: String,
    /// Identity of the release that was looked at, `sha256:…` (`status.identity` of the Promotion). An approval counts only for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^sha256:[0-9a-f]{64}$"))]
    pub digest: Option<String>,
}

/// What was decided.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum Verb {
    /// The promotion may be deployed.
    #[default]
    Approve,
    /// It may not: the promotion ends, the release is held.
    Reject,
    /// End the rollout, traffic back to the stable release.
    Abort,
    /// Stay at this step.
    Pause,
    /// Go on: ends a pause.
    Resume,
    /// Pass over the present step.
    Skip,
    /// Go back to the release before (on an Environment), at once.
    Undo,
    /// The release in `for.digest` may not be deployed in this Environment.
    Hold,
    /// It may again.
    Unhold,
    /// Begin the present step anew.
    Retry,
    /// Deploy in spite of a freeze window.
    Override,
}

impl Verb {
    /// Its word, as in the object, in RBAC and on the command line.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
            Self::Abort => "abort",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Skip => "skip",
            Self::Undo => "undo",
            Self::Hold => "hold",
            Self::Unhold => "unhold",
            Self::Retry => "retry",
            Self::Override => "override",
        }
    }
}

/// Who decided.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DecidedBy {
    /// User name, as the API server knows it.
    #[schemars(length(min = 1, max = 253))]
    pub username: String,
    /// Groups under which the decision is made; the user must be in all of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 50), inner(length(min = 1, max = 253)))]
    pub groups: Vec<String>,
}
