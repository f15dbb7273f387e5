//! Attempts and runs: what is on disk about them, and what is held in memory while they live.

pub mod log;
pub mod named;
pub mod record;
pub mod registry;
pub mod run;

pub use registry::{Attempt, Attempts, State};
