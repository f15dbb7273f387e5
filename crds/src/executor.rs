//! Executors: named environments that stages run in.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{EnvVar, PodTemplate, Resources};

/// An environment that stages of one namespace run in.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "dcanary.dev",
    version = "v1alpha1",
    kind = "Executor",
    namespaced,
    shortname = "dexec",
    category = "dcanary",
    derive = "PartialEq",
    doc = "A named environment for stages of this namespace: image, resources, nodes.",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ExecutorSpec {
    /// Image that the steps run in. Example: `docker.io/library/node:22@sha256:…`.
    #[schemars(length(min = 1, max = 1024))]
    pub image: String,
    /// Variables of all steps. Those of the stage win.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub env: Vec<EnvVar>,
    /// CPU and memory. Those of the stage win.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Further fields of the build Pod. Those of the stage win, field by field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
    /// Secrets with which the image is pulled, in the run's namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20), inner(length(min = 1, max = 253)))]
    pub image_pull_secrets: Vec<String>,
    /// Pod security profile. `baseline` and `userns` count on ClusterExecutors only. Default: `restricted`.
    #[serde(default)]
    pub profile: Profile,
}

/// An environment that stages of all namespaces run in.
#[derive(CustomResource, Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "dcanary.dev",
    version = "v1alpha1",
    kind = "ClusterExecutor",
    shortname = "dcexec",
    category = "dcanary",
    derive = "PartialEq",
    doc = "A named environment for stages of all namespaces. An Executor of the same name in the namespace wins.",
    annotation("kustomize.toolkit.fluxcd.io/substitute", "disabled"),
    printcolumn(name = "Image", type_ = "string", json_path = ".spec.image"),
    printcolumn(name = "Profile", type_ = "string", json_path = ".spec.profile"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterExecutorSpec {
    /// The environment.
    #[serde(flatten)]
    pub executor: ExecutorSpec,
}

/// Pod security profile of an executor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Profile {
    /// Non-root, no capabilities, seccomp RuntimeDefault.
    #[default]
    Restricted,
    /// As the baseline profile: root is allowed.
    Baseline,
    /// Root inside a user namespace of the Pod.
    Userns,
}
