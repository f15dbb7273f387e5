//! What the shell saw, as data. Objects are JSON as the API server gave them: what is not ours in them is kept byte for byte.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use dcanary_core::observed::JournalSeen;
use dcanary_crds::{Decision, Environment, Promotion, Release, TemplateSpec};
use jiff::Timestamp;
use serde_json::Value;

/// What `Seen::policies` says before the operator has read them for the first time: nobody is told yet that a Decision does not count.
pub const POLICIES_NOT_READ: &str = "the admission policies have not been read yet";

/// Everything that a decision about one Environment may look at, besides the Environment and the time.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Settings of the operator.
    pub settings: Arc<Settings>,
    /// Promotions into this Environment, from its own and from allowed namespaces, in any order. One that the status names (`named`) and that is
    /// not here is gone.
    pub promotions: Vec<Promotion>,
    /// Releases that these and the Environment's status name, by (namespace, name). A Release that is missing is not there.
    pub releases: BTreeMap<(String, String), Release>,
    /// Decisions of the namespaces of these Promotions and of the Environment, in any order. As for Promotions: one that the status names and
    /// that is not here is gone.
    pub decisions: Vec<Decision>,
    /// Since when the admission policies that make Decisions trustworthy are all in place as they are shipped; else what is wrong.
    pub policies: Result<Timestamp, String>,
    /// The Environment that `promotesFrom` names; `None`: there is none of that name.
    pub from: Option<Environment>,
    /// Templates by name, those of the cluster with `true`.
    pub templates: BTreeMap<(bool, String), TemplateSpec>,
    /// Objects of the Environment's namespace that have its label, or that it names: workloads, Services, ConfigMaps, routes,
    /// PodDisruptionBudgets, PipelineRuns of hooks and jobs.
    pub objects: BTreeMap<Key, Value>,
    /// Objects that could not be read now (not: that are missing), with the answer. Nothing is concluded from them.
    pub unreadable: BTreeMap<Key, String>,
    /// Pods of the Environment, by name.
    pub pods: BTreeMap<String, Value>,
    /// Digest of each tracked Secret under a key of the cluster (HMAC), by name. Missing: the Secret is not there.
    pub secrets: BTreeMap<String, String>,
    /// Answers to `Effect::Measure`, kept until the sample is in the status.
    pub measurements: BTreeMap<MeasureKey, Measurement>,
    /// The last answer to `Effect::Verify`.
    pub check: Option<Checked>,
    /// Digests of evidence that the artifact store has.
    pub evidence: BTreeSet<String>,
    /// Answers to `Effect::Write` and `Effect::Delete` that refuse for good, until the next try.
    pub refusals: BTreeMap<Key, Refusal>,
    /// What the recorder told about the Environment.
    pub journal: JournalSeen,
    /// The namespace is being deleted.
    pub namespace_terminating: bool,
    /// The API server knows the kinds of the Gateway API.
    pub gateway_api: bool,
    /// What the Gateways of the route can do, by namespace and name; or why that cannot be read. Known only where a step mirrors requests.
    pub gateways: BTreeMap<(String, String), Result<GatewayFeatures, String>>,
}

impl Default for Seen {
    fn default() -> Self {
        Self {
            settings: Arc::default(),
            promotions: Vec::new(),
            releases: BTreeMap::new(),
            decisions: Vec::new(),
            policies: Ok(Timestamp::UNIX_EPOCH),
            from: None,
            templates: BTreeMap::new(),
            objects: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            pods: BTreeMap::new(),
            secrets: BTreeMap::new(),
            measurements: BTreeMap::new(),
            check: None,
            evidence: BTreeSet::new(),
            refusals: BTreeMap::new(),
            journal: JournalSeen::default(),
            namespace_terminating: false,
            gateway_api: false,
            gateways: BTreeMap::new(),
        }
    }
}

/// Settings of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Project of Environments that name none.
    pub project: String,
    /// There is a ledger. Without one nothing is recorded and no gate waits for it.
    pub ledger: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            project: "default".to_owned(),
            ledger: true,
        }
    }
}

/// What a Gateway can do, as far as its GatewayClass says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GatewayFeatures {
    /// Name of the GatewayClass.
    pub class: String,
    /// Names in its `status.supportedFeatures`.
    pub features: BTreeSet<String>,
}

impl GatewayFeatures {
    /// What a GatewayClass says. Versions of the Gateway API before 1.3 list plain names, later ones objects with a name.
    pub fn of(class: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let all = class
            .pointer("/status/supportedFeatures")
            .and_then(Value::as_array);
        let named = |entry: &Value| text(entry).or_else(|| text(entry.get("name")?));
        Self {
            class: class.pointer("/metadata/name").and_then(text).unwrap_or_default(),
            features: all.into_iter().flatten().filter_map(named).collect(),
        }
    }
}

/// Kinds of objects that are looked at or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `apps/v1`.
    Deployment,
    /// `apps/v1`.
    StatefulSet,
    /// `apps/v1`.
    DaemonSet,
    /// `v1`.
    Service,
    /// `v1`.
    ConfigMap,
    /// `v1`.
    Pod,
    /// `policy/v1`.
    PodDisruptionBudget,
    /// `gateway.networking.k8s.io/v1`.
    HttpRoute,
    /// `gateway.networking.k8s.io/v1`.
    GrpcRoute,
    /// `dcanary.dev/v1alpha1`.
    PipelineRun,
    /// `dcanary.dev/v1alpha1`.
    Promotion,
}

impl Kind {
    /// Kind as in the object.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::DaemonSet => "DaemonSet",
            Self::Service => "Service",
            Self::ConfigMap => "ConfigMap",
            Self::Pod => "Pod",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::HttpRoute => "HTTPRoute",
            Self::GrpcRoute => "GRPCRoute",
            Self::PipelineRun => "PipelineRun",
            Self::Promotion => "Promotion",
        }
    }

    /// `apiVersion` as in the object.
    pub const fn api_version(self) -> &'static str {
        match self {
            Self::Deployment | Self::StatefulSet | Self::DaemonSet => "apps/v1",
            Self::Service | Self::ConfigMap | Self::Pod => "v1",
            Self::PodDisruptionBudget => "policy/v1",
            Self::HttpRoute | Self::GrpcRoute => "gateway.networking.k8s.io/v1",
            Self::PipelineRun | Self::Promotion => "dcanary.dev/v1alpha1",
        }
    }
}

/// An object of the Environment's namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Kind.
    pub kind: Kind,
    /// Name.
    pub name: String,
}

impl Key {
    /// A key.
    pub fn new(kind: Kind, name: impl Into<String>) -> Self {
        Self {
            kind,
            name: name.into(),
        }
    }
}

/// One sample of one metric.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MeasureKey {
    /// UID of the Promotion.
    pub promotion: String,
    /// Name of the analysis.
    pub analysis: String,
    /// Name of the metric.
    pub metric: String,
    /// Number of the sample, from 0.
    pub sample: i32,
    /// It is the value of the stable release.
    pub baseline: bool,
}

/// An answer to a query.
#[derive(Debug, Clone, PartialEq)]
pub struct Measurement {
    /// When it came.
    pub at: Timestamp,
    /// What it was.
    pub answer: Answer,
}

/// What a query gave.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A value: number, string, boolean, or list of numbers. Never NaN.
    Value(Value),
    /// Empty, or NaN.
    NoData,
    /// It could not be asked, or the answer makes no sense. One sentence without secrets.
    Error(String),
}

/// What a gateway answered to requests that are to show whether it has a split.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Which split.
    pub token: String,
    /// When the answer came.
    pub at: Timestamp,
    /// Whether it has it; else what came back, as what the gateway does, without secrets: `answers 404 …`.
    pub shown: Result<(), String>,
}

/// A write that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// One CamelCase word: `Forbidden` (the service account lacks the right), `QuotaExceeded`, `Invalid`, `Foreign` (an object of that
    /// name belongs to somebody else), `NamespaceMissing`, `Unavailable`.
    pub reason: String,
    /// What the API server said.
    pub message: String,
    /// When it is tried again.
    pub retry_at: Timestamp,
}
