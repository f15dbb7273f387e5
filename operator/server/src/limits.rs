//! Limits on what build Pods may send. Every one is a flag with a ceiling (`config`).

use std::time::Duration;

use dcanary_protocol::limits;

/// Limits in bytes, numbers and times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// One result.
    pub result_bytes: u64,
    /// Results of a run: for each stage the attempt with the most.
    pub run_result_bytes: u64,
    /// Results of an attempt.
    pub results: usize,
    /// One artifact.
    pub artifact_bytes: u64,
    /// Artifacts of an attempt.
    pub artifacts: usize,
    /// Artifacts of a namespace together, less what its logs and results take; 0 is no limit.
    pub namespace_bytes: u64,
    /// Kept log of an attempt: the first quarter and the last three.
    pub log_bytes: u64,
    /// A `frames` request, except one that is a single large result.
    pub frames_bytes: usize,
    /// Any other JSON body.
    pub body_bytes: usize,
    /// Steps of an attempt.
    pub steps: usize,
    /// A JSON body must have arrived after this time.
    pub body_timeout: Duration,
    /// An upload may pause this long.
    pub upload_idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            result_bytes: limits::RESULT_BYTES,
            run_result_bytes: limits::RUN_RESULT_BYTES,
            results: limits::RESULTS,
            artifact_bytes: limits::ARTIFACT_BYTES,
            artifacts: limits::ARTIFACTS,
            namespace_bytes: 0,
            log_bytes: 64 << 20,
            frames_bytes: dcanary_protocol::FRAMES_BYTES,
            body_bytes: limits::REPORT_BYTES,
            steps: limits::STEPS,
            body_timeout: Duration::from_secs(30),
            upload_idle: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// Largest body of a `frames` request: one result whose every byte is escaped in JSON.
    pub fn largest_frames_body(&self) -> usize {
        let result = usize::try_from(self.result_bytes).unwrap_or(usize::MAX);
        self.frames_bytes
            .max(result.saturating_mul(6).saturating_add(4 << 10))
    }
}
