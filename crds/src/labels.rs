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
