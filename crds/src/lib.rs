//! The API types of `dcanary.dev/v1alpha1`.
//!
//! One kind, one file. Documentation of fields is user documentation: it ends up in `kubectl explain`. The YAML in `yaml/` is generated
//! from these types (`make generate`), and a test keeps it equal.

pub mod analysis;
pub mod condition;
pub mod decision;
pub mod duration;
pub mod environment;
pub mod environment_memory;
pub mod environment_status;
pub mod executor;
pub mod generate;
pub mod labels;
pub mod pipeline;
pub mod pod_template;
pub mod promotion;
pub mod release;
pub mod run;
pub mod run_status;
pub mod secret;
pub mod stage;
pub mod step;
pub mod strategy;
pub mod template;
pub mod traffic;
pub mod workload;

pub use analysis::{Analysis, Metric, OnNoData, Prometheus, TemplateRef, Web};
pub use condition::{Condition, ConditionStatus, ConditionType};
pub use decision::{DecidedBy, Decision, DecisionSpec, DecisionTarget, Verb};
pub use duration::Duration;
pub use environment::{
    AllowedFrom, Approval, DeletionPolicy, Environment, EnvironmentSpec, FreezeWindow, History, Hooks,
    PromotesFrom, Rollback, RollbackMode,
};
pub use environment_memory::{KnownRoute, UnstoredEvidence, WayBack, WithdrawnRelease};
pub use environment_status::{
    AnalysisStatus, Contest, DeployedRelease, Doing, EndedPromotion, EnvironmentStatus, FollowedStrategy,
    FrozenPromotion, HeldRelease, MetricStatus, Rollout, RolloutOutcome, Sample, SampleVerdict, StrategyKind,
    Verdict,
};
pub use executor::{ClusterExecutor, ClusterExecutorSpec, Executor, ExecutorSpec, Profile};
pub use pipeline::{
    Ledger, LedgerMode, Param, Pipeline, PipelineDefinition, PipelineSpec, PipelineStatus, Source, Timeouts,
};
pub use pod_template::{PodTemplate, Resources, Toleration};
pub use promotion::{
    ApprovalStatus, Changes, EnvironmentRef, Promotion, PromotionSpec, PromotionStatus, ReleaseRef,
};
pub use release::{DecidedKind, Release, ReleaseSource, ReleaseSpec, RunRef};
pub use run::{ParamValue, PipelineRef, PipelineRun, PipelineRunSpec, RunSource, Trigger};
pub use run_status::{
    ArtifactStatus, AttemptOutcome, AttemptPromotion, AttemptStatus, Ending, JournalStatus, PendingRecord,
    PipelineRunStatus, ResultStatus, SealedRecords, StageState, StageStatus, StepStatus,
};
pub use secret::{EnvVar, SecretKey, SecretMount};
pub use stage::{Retries, RetryOutcome, Stage};
pub use step::{Artifact, Checkout, DownloadArtifact, Image, ImageFile, Step};
pub use strategy::{BlueGreen, Canary, CanaryStep, NameValue, Pause, Rolling, Strategy, Tester};
pub use template::{ClusterTemplate, ClusterTemplateSpec, Template, TemplateSpec};
pub use traffic::{Port, Route, RouteKind, RouteRef, RouteTemplate, RouteVerify, Traffic};
pub use workload::{DisruptionBudget, Workload, WorkloadKind, WorkloadRef, WorkloadTemplate};

/// API group.
pub const GROUP: &str = "dcanary.dev";
/// API version.
pub const VERSION: &str = "v1alpha1";
