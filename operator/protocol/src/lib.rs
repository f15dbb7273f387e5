//! Wire types of the contract between runner, server and operator (`docs/protocol.md`).
//!
//! ```text
//! operator ── Plan (Pod environment) ──▶ runner ── Frame, Upload, FinalReport ──▶ server
//!    ▲                                                                             │
//!    └──────────────────────────── ReportEntry (cursor) ◀──────────────────────────┘
//! ```
//!
//! Unknown fields are ignored everywhere, so that a neighbouring version may add some; an unknown action of a step or kind of a mask is
//! an error, because a runner that does not know it must not go on without it.

pub mod credentials;
pub mod frame;
pub mod git;
pub mod limits;
pub mod names;
pub mod paths;
pub mod plan;
pub mod report;
pub mod session;

/// Version of the protocol that this build speaks.
pub const PROTOCOL: u32 = 1;
/// Audience of every token that is shown to the server.
pub const AUDIENCE: &str = "dcanary-server";
/// Largest part of an encoded plan in one environment variable, in bytes.
pub const PLAN_PART_BYTES: usize = 96 * 1024;
/// Largest body of one `frames` request, in bytes.
pub const FRAMES_BYTES: usize = 1024 * 1024;

/// Exit codes of the runner (`docs/protocol.md`, Final report).
pub mod exit {
    /// All steps succeeded.
    pub const SUCCEEDED: i32 = 0;
    /// A step failed.
    pub const FAILED: i32 = 1;
    /// The stage was cancelled.
    pub const CANCELLED: i32 = 3;
    /// The stage ran out of time.
    pub const TIMED_OUT: i32 = 4;
    /// The runner itself failed; the attempt counts as lost.
    pub const RUNNER_ERROR: i32 = 70;
}
