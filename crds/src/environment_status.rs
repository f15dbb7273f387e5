//! Status of an Environment. One writer: the operator. What is wanted is computed from Promotions and Decisions; this is how far it got.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ApprovalStatus, Changes, Condition, JournalStatus, KnownRoute, ReleaseSource, UnstoredEvidence, WayBack,
    WithdrawnRelease,
};

/// What runs in an Environment, and what is on its way.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EnvironmentStatus {
    /// Generation that this status is about.
    #[serde(default)]
    pub observed_generation: i64,
    /// `Ready`, `Reconciling`, `Stalled`, `Progressing`, `Paused`, `RolledBack`, `ApprovalsEnforced`, `Recorded`.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Pods of the stable release and the candidate (for `/scale`).
    #[serde(default)]
    pub replicas: i32,
    /// Pods that the adopted Deployment had when it was taken over: as many as the stable release has while `spec.replicas` says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted_replicas: Option<i32>,
    /// Selector of these Pods (for `/scale`). As long as an adopted Deployment serves, it is its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Project under which releases are recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// The release that is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable: Option<DeployedRelease>,
    /// The rollout that is under way, or the last one until it is cleaned up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollout: Option<Rollout>,
    /// A candidate that should have gone back, but still has requests (until `until` is set) because no Pod of the stable release is ready: the
    /// rollout under way takes them over. Kept until its connections have ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub relieved: Option<DeployedRelease>,
    /// Earlier releases, the latest first.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub history: Vec<DeployedRelease>,
    /// Releases that may not come (again).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub held: Vec<HeldRelease>,
    /// Promotions that ended and whose own status does not say so yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub ended: Vec<EndedPromotion>,
    /// The promotion that a freeze window holds up, or held up before it was taken up.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub frozen: Vec<FrozenPromotion>,
    /// Releases that people took away, the latest last, at most 20: they do not come again by `promotesFrom.auto`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub withdrawn: Vec<WithdrawnRelease>,
    /// Promotions that carry out a Decision that goes back, until they have ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub ways_back: Vec<WayBack>,
    /// Evidence of rollouts before the present one that the artifact store does not have yet; at most 96 KiB.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub unstored: Vec<UnstoredEvidence>,
    /// UIDs of Decisions that were carried out and must not be again, the latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub decided: Vec<String>,
    /// UIDs of Decisions that do not count, because the admission policies were not in place when they were made, and of which an Event
    /// `DecisionIgnored` has told; at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub ignored: Vec<String>,
    /// Digest of the configuration (Pod template, ConfigMaps, Secrets) that was last rolled out or tried, `sha256:…`: another one is rolled out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration: Option<String>,
    /// Digest of the rules that the journal knows, `sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rules: Option<String>,
    /// The route of `traffic.route`, the last, and those of before that still have something of ours or are waited for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub routes: Vec<KnownRoute>,
    /// How often somebody else changed the weights of the route lately.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contest: Option<Contest>,
    /// Position in the journal, and what is not recorded yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub journal: Option<JournalStatus>,
}

/// A release as it is deployed here.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct DeployedRelease {
    /// Name of the Release; empty for a workload that was adopted and came with none.
    #[serde(default)]
    pub release: String,
    /// Namespace of the Release.
    #[serde(default)]
    pub namespace: String,
    /// Its identity in this environment: images, Pod template, configuration. `sha256:…`.
    pub identity: String,
    /// Name of its workload.
    pub workload: String,
    /// Images.
    #[serde(default)]
    pub images: BTreeMap<String, String>,
    /// Source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ReleaseSource>,
    /// Digest of what moves between environments, images and artifacts: `sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// UID of the Promotion that brought it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub promotion: Option<String>,
    /// Who asked for it; where it came by itself, who asked for it in the environment before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// Number of the journal's record of its promotion.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<i64>,
    /// When it became stable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<Timestamp>,
    /// When it became stable as something new, where it came back since then: by this it is older or newer than other releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub new_since: Option<Timestamp>,
    /// When it stopped getting requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub until: Option<Timestamp>,
}

/// A promotion and the freeze windows that held it up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FrozenPromotion {
    /// UID of the Promotion.
    pub promotion_uid: String,
    /// Names of the windows, in the order in which they did.
    pub windows: Vec<String>,
    /// How many of the first of them are in the journal.
    #[serde(default)]
    pub recorded: i32,
}

/// What a rollout is doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Doing {
    /// Waits for something outside: approval, freeze window, source environment, journal.
    #[default]
    Waiting,
    /// The `preDeploy` stages run.
    PreDeploy,
    /// The Pods of the candidate come up (in place: are replaced).
    Starting,
    /// In the steps.
    Stepping,
    /// All traffic is on its way to the candidate, whose Pods become as many as the stable release's.
    Promoting,
    /// After the switch: analysis, and the `postDeploy` stages.
    Verifying,
    /// Traffic is on its way back to the stable release.
    RollingBack,
    /// The `onRollback` stages run.
    AfterRollback,
    /// It has ended; what is left is scaled down.
    Ended,
}

/// A rollout.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Rollout {
    /// Name of the Promotion.
    pub promotion: String,
    /// Its namespace.
    pub promotion_namespace: String,
    /// Its UID.
    pub promotion_uid: String,
    /// Who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// Name of the Release.
    pub release: String,
    /// Identity of the candidate, `sha256:…`.
    pub identity: String,
    /// Name of its workload.
    pub workload: String,
    /// Images.
    #[serde(default)]
    pub images: BTreeMap<String, String>,
    /// Source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<ReleaseSource>,
    /// Digest of what moves between environments, images and artifacts: `sha256:…`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What is being done.
    #[serde(default)]
    pub doing: Doing,
    /// One CamelCase word that says why it waits or ended.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The same for people, with what to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Index of the present step.
    #[serde(default)]
    pub step: i32,
    /// Passed steps and all steps, e.g. `2/5`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,
    /// When `doing` or the step last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<Timestamp>,
    /// When the rollout was taken up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub finished_at: Option<Timestamp>,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<RolloutOutcome>,
    /// Percent of requests that the candidate has, as far as it is known to be in force.
    #[serde(default)]
    pub weight: i32,
    /// Percent that it should have now.
    #[serde(default)]
    pub wanted_weight: i32,
    /// Since when `traffic.route` is another one, or broken, and has not followed the weight yet: neither time nor samples count meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub rerouted_at: Option<Timestamp>,
    /// Since when Pods that the present step needs are missing: `progressDeadline` is about this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub missing_since: Option<Timestamp>,
    /// Since when the route, a Service or the artifact store has kept it waiting on its way forward: `progressDeadline` is about this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub held_up_since: Option<Timestamp>,
    /// What the route was last seen to say as it was asked, in force or not: what is changed after that is changed by somebody else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routed: Option<String>,
    /// Since when the gateway has said that it follows the route while no requests have shown it yet (`route.verify`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub unverified_since: Option<Timestamp>,
    /// Since when it has had too few ready Pods for its requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub unready_since: Option<Timestamp>,
    /// Percent that it gets back when it has Pods again: while it has none, all requests go to the stable release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unready_weight: Option<i32>,
    /// Percent that is mirrored to it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub mirror: i32,
    /// Pods that the stable release had when the rollout began: its floor meanwhile.
    #[serde(default)]
    pub stable_replicas: i32,
    /// Pods of the candidate, as the last `replicas` step said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<String>,
    /// A person paused it: UID of the Decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paused_by: Option<String>,
    /// When the pause of that person ends by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub paused_until: Option<Timestamp>,
    /// A person let the present pause end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resumed: bool,
    /// A person let it through a freeze window: UID of the Decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overridden_by: Option<String>,
    /// No steps and no analysis: back to a recent release, or in the place of a candidate that the stable release cannot take requests from.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub straight: bool,
    /// It brings an earlier release again as it was, by `undo`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub back: bool,
    /// The strategy that it follows, as it was last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<FollowedStrategy>,
    /// Approvals that count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub approvals: Vec<ApprovalStatus>,
    /// Analyses, the first first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub analyses: Vec<AnalysisStatus>,
    /// What it changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<Changes>,
    /// Names of the PipelineRuns of the hooks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub hooks: Vec<String>,
    /// Number of the journal's record that asked for it: its first one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<i64>,
    /// Number of the journal's record that must be on chain before it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<i64>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // what serde passes
const fn is_zero(number: &i32) -> bool {
    *number == 0
}

/// The strategy that a rollout follows. Edited steps begin again from the first one; another kind goes back first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct FollowedStrategy {
    /// Its kind.
    pub kind: StrategyKind,
    /// Digest of its steps, `sha256:…`.
    pub steps: String,
    /// Digest of the analyses beside the steps, `sha256:…`.
    pub analysis: String,
    /// When its steps were last edited in the middle of the rollout, which began them again then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub edited_at: Option<Timestamp>,
}

/// A kind of strategy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum StrategyKind {
    /// In place.
    Rolling,
    /// Two whole releases, one switch.
    BlueGreen,
    /// Traffic in steps.
    Canary,
}

/// How a rollout ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum RolloutOutcome {
    /// The release is stable now.
    Promoted,
    /// It was ended by a person or by what it waited for, before or during its steps.
    Aborted,
    /// It failed, and traffic is back on the stable release.
    RolledBack,
    /// A newer promotion took its place.
    Superseded,
    /// It was refused: held, older than the stable release, not allowed.
    Refused,
}

/// A release that may not come.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HeldRelease {
    /// Its identity.
    pub identity: String,
    /// Name of the Release, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
    /// One CamelCase word: `RolledBack`, `Rejected`, `Held`.
    pub reason: String,
    /// The same for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub since: Option<Timestamp>,
    /// When it may come again by itself. Default: a person has to say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub until: Option<Timestamp>,
}

/// A promotion that ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndedPromotion {
    /// Name of the Promotion.
    pub promotion: String,
    /// Its namespace.
    pub promotion_namespace: String,
    /// Its UID.
    pub promotion_uid: String,
    /// How it ended.
    pub outcome: RolloutOutcome,
    /// One CamelCase word.
    pub reason: String,
    /// The same for people, with what to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub finished_at: Option<Timestamp>,
    /// Identity of the release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
}

/// Somebody else changes the route.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Contest {
    /// Field manager that did it last.
    pub manager: String,
    /// UID and generation of the route in which that was seen last: one change counts once.
    #[serde(default)]
    pub version: String,
    /// When, the latest last; at most 3.
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    #[schemars(with = "Vec<String>")]
    pub at: Vec<Timestamp>,
}

/// An analysis.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct AnalysisStatus {
    /// `background`, `step-<n>`, `prePromotion` or `postPromotion`.
    pub name: String,
    /// Verdict, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// The same for people: which metric, which value, which threshold.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub started_at: Option<Timestamp>,
    /// When it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub finished_at: Option<Timestamp>,
    /// Metrics.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub metrics: Vec<MetricStatus>,
    /// A person let the rollout go on although it could not tell.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepted: bool,
    /// Digest of the evidence document, `sha256:…`, once it is in the artifact store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
}

/// A metric of an analysis.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MetricStatus {
    /// Name.
    pub name: String,
    /// Digest of what is measured and how it is judged. A metric with another one begins anew.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub definition: String,
    /// Verdict, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Number of the next sample. Numbers are never used twice.
    #[serde(default)]
    pub next: i32,
    /// Samples that were taken, also those that are not listed any more.
    #[serde(default)]
    pub taken: i32,
    /// Samples that had data.
    #[serde(default)]
    pub with_data: i32,
    /// Samples that were good.
    #[serde(default)]
    pub successful: i32,
    /// Samples that were bad.
    #[serde(default)]
    pub failed: i32,
    /// Samples that were neither.
    #[serde(default)]
    pub inconclusive: i32,
    /// Samples in a row that could not be taken.
    #[serde(default)]
    pub errors: i32,
    /// Samples in a row that were good.
    #[serde(default)]
    pub streak: i32,
    /// Samples, the latest last; at most 200 and 32 KiB. Older ones are only counted.
    #[serde(default)]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub samples: Vec<Sample>,
    /// When the next sample is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub next_at: Option<Timestamp>,
}

/// A sample.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct Sample {
    /// When it was taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub at: Option<Timestamp>,
    /// Value as JSON text, at most 1 KiB: a longer one cannot be judged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Value of the stable release, with `compare`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub baseline: Option<String>,
    /// What it counts as.
    pub verdict: SampleVerdict,
    /// Why it could not be taken, or why a job failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What a sample counts as.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum SampleVerdict {
    /// Good.
    Success,
    /// Bad.
    Failure,
    /// Neither.
    #[default]
    Inconclusive,
    /// It could not be taken.
    Error,
}

/// What an analysis or metric says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Verdict {
    /// Go on.
    Passed,
    /// Go back.
    Failed,
    /// A person has to look.
    Inconclusive,
}
