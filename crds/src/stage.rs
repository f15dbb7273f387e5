//! Stages: the nodes of the graph.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, EnvVar, PodTemplate, Resources, SecretMount, Step};

/// One stage: steps that run in order in one Pod, or a deployment into an Environment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.image) && has(self.executor))").message("give image or executor, not both"),
    validation = Rule::new("has(self.steps) != has(self.environment)").message("give either steps or environment: what runs before or after a deployment is a stage of its own")
)]
pub struct Stage {
    /// Name, unique in the pipeline; letters, digits and `-`.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Stages that must have ended well before this one starts. Default: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 63)))]
    pub depends_on: Vec<String>,
    /// Name of an Executor of the namespace, or of a ClusterExecutor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub executor: Option<String>,
    /// Image that the steps run in. Give this or `executor`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub image: Option<String>,
    /// What to do, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 50))]
    pub steps: Vec<Step>,
    /// Environment of the run's namespace that the images of earlier stages are brought into, instead of `steps`: the stage makes a Release of
    /// them and a Promotion, and ends as that does. Its approvals, windows and analyses count. Without `timeout` it waits as long as the run may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    pub environment: Option<String>,
    /// CEL condition; false skips the stage. Example: `source.ref == "main" && stages.test.outcome == "succeeded"`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 4096))]
    pub when: Option<String>,
    /// Its failure does not fail the run, and stages that depend on it still run. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// What happens after a failure. Default: no retry. Attempts that were lost (eviction, node gone) are repeated twice without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<Retries>,
    /// Time for one attempt, from the start of its container. Default: `1h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Time that the Pod may wait for a node, its image and its volumes. Default: the pipeline's `timeouts.pending`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_timeout: Option<Duration>,
    /// Variables of all steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub env: Vec<EnvVar>,
    /// Secrets as files under `/var/run/dcanary/secrets/<name>/`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub secrets: Vec<SecretMount>,
    /// CPU and memory. Default: the executor's, else the namespace's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resources: Option<Resources>,
    /// Further fields of the build Pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_template: Option<PodTemplate>,
}

/// When and how often a stage is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Retries {
    /// How many further attempts, at most 10.
    #[schemars(range(min = 0, max = 10))]
    pub count: i32,
    /// Pause before the next attempt; doubled each time, at most 10 minutes. Default: `5s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backoff: Option<Duration>,
    /// Which outcomes are tried again. Default: `[Failed, TimedOut]`.
    // runs that began before have it as `on`, which kubectl reads as `true` unless it is in quotes
    #[serde(default, alias = "on", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub outcomes: Vec<RetryOutcome>,
}

/// An outcome that is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum RetryOutcome {
    /// A step failed.
    Failed,
    /// The attempt ran out of time.
    TimedOut,
    /// A container was killed for memory.
    OutOfMemory,
}
