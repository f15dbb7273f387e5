//! How a release replaces the one before.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use crate::{Analysis, Duration};

/// How a release replaces the one before. Exactly one; none means `rolling`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.rolling) ? 1 : 0) + (has(self.blueGreen) ? 1 : 0) + (has(self.canary) ? 1 : 0) <= 1").message("give at most one of rolling, blueGreen and canary"))]
pub struct Strategy {
    /// Pods are replaced in place, under one name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rolling: Option<Rolling>,
    /// The whole release runs beside the old one, then all traffic is switched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blue_green: Option<BlueGreen>,
    /// Traffic moves in steps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
}

/// In place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rolling {
    /// Pods above the wanted number, as number or percentage (Deployments). Default: `25%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9]{1,5}%?$"))]
    pub max_surge: Option<String>,
    /// Pods below the wanted number, as number or percentage (Deployments, DaemonSets). Default: `25%`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9]{1,5}%?$"))]
    pub max_unavailable: Option<String>,
    /// StatefulSets: Pods are deleted one by one by the operator (`OnDelete`) instead of by the StatefulSet's own controller. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub on_delete: bool,
    /// StatefulSets: the release stops at this ordinal until it is approved (`resume`), so that the Pods from it on are the canary.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 10_000))]
    pub partition: Option<i32>,
}

/// Two whole releases, one switch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlueGreen {
    /// Switch without being asked once the analysis has passed. `false`: wait for a Decision `resume`. Default: true.
    #[serde(default = "yes")]
    pub auto_promote: bool,
    /// Pods of the preview until the switch. Default: as many as the stable release has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub preview_replicas: Option<i32>,
    /// Must pass before the switch; it sees the preview.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pre_promotion_analysis: Option<Analysis>,
    /// Must pass after the switch; a failure switches back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub post_promotion_analysis: Option<Analysis>,
    /// How long the old release keeps its Pods after the switch. Default: `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down_delay: Option<Duration>,
}

impl Default for BlueGreen {
    fn default() -> Self {
        Self {
            auto_promote: true,
            preview_replicas: None,
            pre_promotion_analysis: None,
            post_promotion_analysis: None,
            scale_down_delay: None,
        }
    }
}

const fn yes() -> bool {
    true
}

/// Traffic in steps.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Canary {
    /// What is done, in order. After the last step all traffic goes to the release.
    #[schemars(length(min = 1, max = 50))]
    pub steps: Vec<CanaryStep>,
    /// Requests that go to the candidate at any weight, once its Pods are ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub testers: Vec<Tester>,
    /// How long the old release keeps its Pods after the last step. Default: `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_down_delay: Option<Duration>,
}

/// One step. Exactly one of its fields is given.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.weight) ? 1 : 0) + (has(self.pause) ? 1 : 0) + (has(self.analysis) ? 1 : 0) + (has(self.replicas) ? 1 : 0) + (has(self.mirror) ? 1 : 0) == 1").message("a step is exactly one of weight, pause, analysis, replicas and mirror"))]
pub struct CanaryStep {
    /// Percent of requests for the candidate; not less than in an earlier step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub weight: Option<i32>,
    /// Wait.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<Pause>,
    /// Measure until decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub analysis: Option<Analysis>,
    /// Pods of the candidate, as number or as percentage of the stable release's, until the next such step. Without such a step the candidate has
    /// as many as its weight asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[0-9]{1,5}%?$"))]
    pub replicas: Option<String>,
    /// Percent of requests that are sent to the candidate as well, their answers dropped (Gateway API only). 0 ends it; so does the end of the rollout.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub mirror: Option<i32>,
}

/// A wait.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pause {
    /// How long. Without it: until a Decision `resume`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Duration>,
}

/// Requests that go to the candidate. Exactly one of its fields is given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.header) != has(self.cookie)").message("give exactly one of header and cookie"))]
pub struct Tester {
    /// Requests with this header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<NameValue>,
    /// Requests with this cookie.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cookie: Option<NameValue>,
}

/// A name and a value.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NameValue {
    /// Name.
    #[schemars(length(min = 1, max = 253), regex(pattern = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"))]
    pub name: String,
    /// Value, compared exactly.
    #[schemars(length(min = 1, max = 1024))]
    pub value: String,
}
