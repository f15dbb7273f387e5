//! What is measured, and when it counts as good.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Duration, ParamValue, SecretKey, Stage};

/// Metrics, given here or by Templates. It passes when every metric passes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.metrics) || has(self.templates)").message("give metrics or templates"))]
pub struct Analysis {
    /// Templates of the namespace (or ClusterTemplates) whose metrics are measured.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub templates: Vec<TemplateRef>,
    /// Metrics.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub metrics: Vec<Metric>,
}

/// Names a Template and gives its parameters.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct TemplateRef {
    /// Name of the Template.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
    /// It is a ClusterTemplate. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cluster: bool,
    /// Values of its parameters. `$(release)`, `$(environment)`, `$(namespace)` and `$(image)` (of several: `$(image_<name>)`) are known without
    /// being given; values may hold them too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 20))]
    pub params: Vec<ParamValue>,
}

/// One metric. Exactly one of `prometheus`, `web` and `job` says how it is measured.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("(has(self.prometheus) ? 1 : 0) + (has(self.web) ? 1 : 0) + (has(self.job) ? 1 : 0) == 1").message("give exactly one of prometheus, web and job"))]
pub struct Metric {
    /// Name, unique in the analysis.
    #[schemars(length(min = 1, max = 63), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Pause before the first sample. Default: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub initial_delay: Option<Duration>,
    /// Time between samples. Default: `30s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Duration>,
    /// How many samples are taken. Default: 1, or as many as `minSamples` and `consecutiveSuccess` need; in the analysis of the whole rollout:
    /// until it ends. It passes after so many when at least one was good and `minSamples` had data; else it is inconclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 200))]
    pub count: Option<i32>,
    /// How many failed samples are forgiven. Default: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub failure_limit: Option<i32>,
    /// How many inconclusive samples are forgiven; one more pauses the rollout. Default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub inconclusive_limit: Option<i32>,
    /// How many samples in a row could not be taken (source away, nonsense) before it counts as inconclusive. Default: 4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub error_limit: Option<i32>,
    /// Passes early after so many successes in a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 200))]
    pub consecutive_success: Option<i32>,
    /// So many samples with data are needed for a pass. Default: 1; none with `onNoData: success`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 200))]
    pub min_samples: Option<i32>,
    /// What an empty answer or NaN counts as. Default: `inconclusive`.
    #[serde(default)]
    pub on_no_data: OnNoData,
    /// CEL over `result` (a number, a boolean, a string, a list, with `web` also an object) and, with `compare`, `baseline`. True: the sample is
    /// good. Numbers are doubles. Example: `result < 0.01`, `result <= 1.2 * baseline`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub success: Option<String>,
    /// The same. True: the sample is bad. With both, neither true is inconclusive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 4096))]
    pub failure: Option<String>,
    /// Measure the stable release too, as `baseline`: the same query with `$(release)` of the stable one. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub compare: bool,
    /// It is measured and shown, and decides nothing. Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
    /// A query to Prometheus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prometheus: Option<Prometheus>,
    /// A value in a JSON document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub web: Option<Web>,
    /// The outcome of a stage, as in a Pipeline: success is good, failure is bad. Its fields are checked when it runs: with their schema at every place
    /// of an Environment where metrics may be, the definition would be too large and its rules too costly for the API server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "crate::workload::object")]
    pub job: Option<Box<Stage>>,
}

/// What an answer without data counts as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnNoData {
    /// Neither good nor bad.
    #[default]
    Inconclusive,
    /// Good.
    Success,
    /// Bad.
    Failure,
}

/// A query to Prometheus.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Prometheus {
    /// Base URL. Example: `http://prometheus.monitoring:9090`.
    #[schemars(length(min = 1, max = 2048))]
    pub address: String,
    /// PromQL. `$(release)`, `$(environment)`, `$(namespace)` and the template's parameters are replaced. A scalar or a vector of one element becomes a
    /// number, a longer vector a list of numbers.
    #[schemars(length(min = 1, max = 4096))]
    pub query: String,
    /// Time for one query. Default: `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Bearer token, a key of a Secret of the Environment's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretKey>,
}

/// A value in a JSON document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Web {
    /// URL; the same replacements as in a query.
    #[schemars(length(min = 1, max = 2048))]
    pub url: String,
    /// JSONPath (RFC 9535) of the value. Example: `$.data.ok`. Default: the whole document.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 1024))]
    pub json_path: Option<String>,
    /// Time for one request. Default: `10s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// Bearer token, a key of a Secret of the Environment's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<SecretKey>,
}
