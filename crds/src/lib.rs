//! The API types of `dcanary.dev/v1alpha1`.
//!
//! One kind, one file. Documentation of fields is user documentation: it ends up in `kubectl explain`. The YAML in `yaml/` is generated
//! from these types (`make generate`), and a test keeps it equal.

pub mod condition;
pub mod duration;
pub mod executor;
pub mod generate;
pub mod labels;
pub mod pipeline;
pub mod pod_template;
pub mod run;
pub mod run_status;
pub mod secret;
pub mod stage;
pub mod step;

pub use condition::{Condition, ConditionStatus, ConditionType};
pub use duration::Duration;
pub use executor::{ClusterExecutor, ClusterExecutorSpec, Executor, ExecutorSpec, Profile};
pub use pipeline::{
    Ledger, LedgerMode, Param, Pipeline, PipelineDefinition, PipelineSpec, PipelineStatus, Source, Timeouts,
};
pub use pod_template::{PodTemplate, Resources, Toleration};
pub use run::{ParamValue, PipelineRef, PipelineRun, PipelineRunSpec, RunSource, Trigger};
pub use run_status::{
    ArtifactStatus, AttemptOutcome, AttemptStatus, Ending, JournalStatus, PendingRecord, PipelineRunStatus,
    ResultStatus, SealedRecords, StageState, StageStatus, StepStatus,
};
pub use secret::{EnvVar, SecretKey, SecretMount};
pub use stage::{Retries, RetryOn, Stage};
pub use step::{Artifact, Checkout, DownloadArtifact, Image, ImageFile, Step};

/// API group.
pub const GROUP: &str = "dcanary.dev";
/// API version.
pub const VERSION: &str = "v1alpha1";
