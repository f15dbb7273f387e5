//! The logs of a run: stage by stage, attempt by attempt, live when asked.
//!
//! Following ends
//! - for a run, when its PipelineRun has `Finished=True` or is gone, and everything was sent;
//! - for a stage, then too, and when its newest attempt ended well or by cancellation, or ended otherwise and no other
//!   attempt came for a while.
//!
//! When the server stops, the answer breaks off, so that the client can tell it from an end.

pub mod follow;
pub mod tail;

use serde::Serialize;

use dcanary_protocol::frame::Stream;

/// A line as it is sent.
#[derive(Debug, Serialize)]
pub struct LogLine<'a> {
    /// Name of the stage.
    pub stage: &'a str,
    /// Number of the attempt.
    pub attempt: u32,
    /// Index of the step.
    pub step: u32,
    /// Where it was written.
    pub stream: Stream,
    /// When.
    pub time: &'a str,
    /// The text.
    pub line: &'a str,
    /// It goes on in the next line.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}
