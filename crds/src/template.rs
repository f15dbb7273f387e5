//! Templates: parts that are used in several places.

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::{Metric, Param};

/// Parts that are used in several places of a namespace.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "dcanary.dev",
    version = "v1alpha1",
    kind = "Template",
    namespaced,
    category = "dcanary",
    derive = "PartialEq",
    doc = "Parts that are used in several places of a namespace: metrics of an analysis.",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct TemplateSpec {
    /// Parameters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub params: Vec<Param>,
    /// Metrics of an analysis.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub metrics: Vec<Metric>,
}

/// The same for the whole cluster.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "dcanary.dev",
    version = "v1alpha1",
    kind = "ClusterTemplate",
    category = "dcanary",
    derive = "PartialEq",
    doc = "Parts that are used in several places of the cluster: metrics of an analysis.",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterTemplateSpec {
    /// The template.
    #[serde(flatten)]
    pub template: TemplateSpec,
}
