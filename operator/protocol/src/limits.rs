//! Limits that runner, server and operator share, so that none of them refuses what another one lets pass (`docs/protocol.md`, Limits).
//!
//! These are the defaults and the ceilings of what a build Pod may send. The server may be told to take less by its flags; the runner then
//! learns it from an answer with status 413 and fails the step by name.

/// Steps of a stage.
pub const STEPS: usize = 50;
/// Results of an attempt.
pub const RESULTS: usize = 256;
/// Artifacts of an attempt.
pub const ARTIFACTS: usize = 256;
/// Longest name of a result or an artifact, in bytes.
pub const NAME_BYTES: usize = 128;
/// One result, in bytes.
pub const RESULT_BYTES: u64 = 1 << 20;
/// Largest result that a final report and a status hold by value, in bytes; larger ones are known by digest.
pub const RESULT_INLINE_BYTES: u64 = 4 << 10;
/// All results together that a final report holds by value, in bytes. The server and the status of a run keep no more.
pub const RESULTS_INLINE_BYTES: u64 = 64 << 10;
/// All results of a run together, in bytes.
pub const RUN_RESULT_BYTES: u64 = 16 << 20;
/// One artifact, in bytes.
pub const ARTIFACT_BYTES: u64 = 10 << 30;
/// Frames that the runner keeps until they are acknowledged, in bytes.
pub const SPOOL_BYTES: u64 = 256 << 20;
/// A final report, in bytes of JSON.
pub const REPORT_BYTES: usize = 4 << 20;
/// A message of a step or a report, in bytes; longer ones are cut.
pub const MESSAGE_BYTES: usize = 1 << 10;
/// What the runner writes to the container's termination message, in bytes.
pub const TERMINATION_BYTES: usize = 512;
