//! The numbered stream of an attempt.

use serde::{Deserialize, Serialize};

use crate::report::StepOutcome;

/// Output stream of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// One numbered message of the runner. Times are RFC 3339 with nanoseconds, UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Frame {
    /// One line of output, masked.
    Log {
        /// Index of the step in the plan.
        step: u32,
        /// Where it was written.
        stream: Stream,
        /// When the runner read it.
        time: String,
        /// The line without its newline.
        line: String,
        /// The line goes on in the next frame.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        partial: bool,
    },
    /// A step began.
    StepStarted {
        /// Index of the step in the plan.
        step: u32,
        /// Its name.
        name: String,
        /// When.
        time: String,
    },
    /// A step ended.
    StepFinished {
        /// Index of the step in the plan.
        step: u32,
        /// Its name.
        name: String,
        /// When.
        time: String,
        /// How.
        #[serde(flatten)]
        end: StepEnd,
    },
    /// A result was written.
    Result {
        /// Name of the result.
        name: String,
        /// Its value, at most 1 MiB.
        value: String,
    },
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StepEnd {
    /// The outcome.
    pub outcome: StepOutcome,
    /// Exit code of the process, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// Signal that ended the process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signal: Option<i32>,
    /// What went wrong, for people; no secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Body of `POST /v1/attempts/{attempt}/frames`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FramesRequest {
    /// Number of the first frame; the others follow without gaps. Counting starts at 1.
    pub first: u64,
    /// The frames.
    pub frames: Vec<Frame>,
}

/// Answer: everything up to `acked` is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acked {
    /// Highest synced frame number.
    pub acked: u64,
}
