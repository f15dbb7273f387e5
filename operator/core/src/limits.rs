//! How much a definition and what is kept of its results may be: what an installation may set, and the ceilings of it.

use dcanary_protocol::limits::{RESULT_INLINE_BYTES, RESULTS_INLINE_BYTES, STEPS};

use crate::definition::MAX_RESOLVED_BYTES;

/// Limits of definitions and of results in a status. A ceiling is what the schema of the kinds, the formats of the journal or the size of an
/// object in etcd leave; but for the stages it is the default, too. A run keeps the definition that it began with, so a limit that is
/// lowered later does not end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Stages of a run, `finally` stages counted. Ceiling: 1,000; the schema takes 256 in `stages` and 50 in `finally`.
    pub stages: usize,
    /// Steps of a stage. Ceiling: 50, that of the schema and of the runner's protocol.
    pub steps: usize,
    /// Variables in the `env` of a stage, and of a step. Ceiling: 100, that of the schema.
    pub env: usize,
    /// Parameters of a definition. Ceiling: 100, that of the schema.
    pub params: usize,
    /// Value or default of a parameter, in bytes. Ceiling: 32 KiB, that of the schema.
    pub param_bytes: usize,
    /// Script of a step, in bytes. Ceiling: 256 KiB, that of the schema.
    pub script_bytes: usize,
    /// Further attempts that a stage may ask for. Ceiling: 10, that of the schema; 0 is none.
    pub retries: usize,
    /// One `when` or `if`, and one `$(…)`, in bytes. Ceiling: 4 KiB, that of the schema and of the runner.
    pub expression_bytes: usize,
    /// One result that a status holds by value, in bytes; a larger one is known by digest and reaches later stages as a file. Ceiling: 4 KiB,
    /// that of the runner's protocol.
    pub inline_result_bytes: usize,
    /// All results of a run together that a status holds by value, in bytes. Ceiling: 64 KiB, as etcd has to take the status.
    pub run_inline_result_bytes: usize,
    /// Resolved definition in a status, compressed and as base64, in bytes. Ceiling: 256 KiB, as etcd has to take the status.
    pub definition_bytes: usize,
}

impl Limits {
    /// The most that an installation may set.
    pub const CEILINGS: Self = Self {
        stages: 1_000,
        steps: STEPS,
        env: 100,
        params: 100,
        param_bytes: 32 << 10,
        script_bytes: 256 << 10,
        retries: 10,
        expression_bytes: dcanary_expr::EXPRESSION_BYTES,
        inline_result_bytes: size(RESULT_INLINE_BYTES),
        run_inline_result_bytes: size(RESULTS_INLINE_BYTES),
        definition_bytes: MAX_RESOLVED_BYTES,
    };

    /// What holds when an installation sets nothing.
    pub const DEFAULTS: Self = Self {
        stages: 256,
        ..Self::CEILINGS
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULTS
    }
}

/// The constants of the protocol are a few KiB, which every address space has.
#[allow(clippy::cast_possible_truncation)]
const fn size(bytes: u64) -> usize {
    bytes as usize
}

/// A number of bytes as a person would write it: `32 KiB`, `1000 bytes`.
pub(crate) fn bytes(count: usize) -> String {
    if count > 0 && count.is_multiple_of(1024) {
        format!("{} KiB", count / 1024)
    } else {
        format!("{count} bytes")
    }
}

#[cfg(test)]
mod tests;
