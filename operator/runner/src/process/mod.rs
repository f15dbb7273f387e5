//! Processes of steps: started in a group of their own, reaped as PID 1 or subreaper, ended with everything they started.
//!
//! ```text
//! signalfd ─ SIGCHLD ─▶ reaper ─ exit of the step ─▶ steps::run
//!          └ SIGTERM ─▶ from outside the PID namespace? ─ yes ─▶ stop
//!                                                       └ no ──▶ noted in the log
//! ```

pub(crate) mod family;
pub(crate) mod guard;
pub(crate) mod memory;
pub(crate) mod reaper;
pub(crate) mod signals;
mod spawn;
