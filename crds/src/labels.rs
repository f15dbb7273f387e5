//! Names of labels, annotations and finalizers.

/// UID of the run that a Pod belongs to.
pub const RUN_UID: &str = "dcanary.dev/run-uid";
/// Name of the run.
pub const RUN: &str = "dcanary.dev/run";
/// Name of the Pipeline.
pub const PIPELINE: &str = "dcanary.dev/pipeline";
/// Name of the stage.
pub const STAGE: &str = "dcanary.dev/stage";
/// Number of the attempt, from 1.
pub const ATTEMPT: &str = "dcanary.dev/attempt";
/// Finalizer of build Pods: the outcome is not in the run's status yet.
pub const OBSERVED: &str = "dcanary.dev/observed";
/// Finalizer of runs: records are neither sealed nor recorded yet.
pub const RECORDED: &str = "dcanary.dev/recorded";
/// Name of the Environment that an object belongs to.
pub const ENVIRONMENT: &str = "dcanary.dev/environment";
/// UID of the Environment.
pub const ENVIRONMENT_UID: &str = "dcanary.dev/environment-uid";
/// Name of the workload of a release: `<environment>-<first ten hex digits of its identity>`. What Services and queries select by.
pub const RELEASE: &str = "dcanary.dev/release";
/// Annotation: identity of a release, `sha256:…`.
pub const IDENTITY: &str = "dcanary.dev/identity";
/// Finalizer of Environments: `deletionPolicy` has not been carried out yet.
pub const ENVIRONMENT_FINALIZER: &str = "dcanary.dev/environment";
