//! What runs in an Environment.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What runs in an Environment: a template, or a workload that exists.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.template) != has(self.ref)").message("give exactly one of workload.template and workload.ref"),
    validation = Rule::new("!has(self.disruptionBudget) || !has(self.template) || !has(self.template.kind) || self.template.kind != 'DaemonSet'").message("Kubernetes keeps no disruption budget for a DaemonSet: remove disruptionBudget; strategy.rolling.maxUnavailable says how many Pods may go at once")
)]
pub struct Workload {
    /// The workload, as the operator creates it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<WorkloadTemplate>,
    /// A Deployment that exists: it is taken over without downtime, and scaled to zero once the first release made from it is ready.
    #[serde(default, rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<WorkloadRef>,
    /// ConfigMaps that the Pods use. Each release gets its own copy, so that configuration goes back with the code; a change of one is
    /// rolled out like a new release.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 253)))]
    pub config_maps: Vec<String>,
    /// Secrets that the Pods use. They are never copied: a change of one is rolled out, but a rollback does not bring the old content back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 253)))]
    pub secrets: Vec<String>,
    /// PodDisruptionBudget of the release that serves: the stable one, and the candidate once it has all requests. Not for a DaemonSet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disruption_budget: Option<DisruptionBudget>,
}

/// A workload to create.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadTemplate {
    /// `Deployment` (default), `StatefulSet` or `DaemonSet`.
    #[serde(default)]
    pub kind: WorkloadKind,
    /// Labels of the workload and its Pods. Those under `dcanary.dev/` are set by the operator.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The `spec` of the workload (`apps/v1`) without `replicas` and `selector`. A container takes image `N` of the release when its
    /// `image` is `$(images.N)`; without any such container, each image goes to the container of its name.
    #[schemars(schema_with = "object")]
    pub spec: Map<String, Value>,
}

/// Kind of a workload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum WorkloadKind {
    /// Each release is a Deployment of its own.
    #[default]
    Deployment,
    /// Updated in place.
    StatefulSet,
    /// Updated in place.
    DaemonSet,
}

/// A Deployment that exists.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadRef {
    /// Name of the Deployment, in the Environment's namespace.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// How many Pods may be missing in a voluntary disruption. Numbers or percentages, as in a PodDisruptionBudget.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.minAvailable) != has(self.maxUnavailable)").message("give exactly one of minAvailable and maxUnavailable"))]
pub struct DisruptionBudget {
    /// How many must stay. Example: `2` or `50%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9]{1,5}%?$"))]
    pub min_available: Option<String>,
    /// How many may be missing. Example: `1` or `25%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9]{1,5}%?$"))]
    pub max_unavailable: Option<String>,
}

/// An object of another API, whose fields this schema does not list.
pub(crate) fn object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})
}

/// Such objects in a list.
pub(crate) fn objects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 32,
        "items": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}
    })
}
