//! Execution: the deterministic core.
//!
//! ```text
//! Batch ─▶ Machine ─▶ management canister │ Executor ─▶ run (fresh instance) ─▶ next version of the canister
//! ```

pub mod batch;
pub mod call;
mod effects;
pub mod limits;
pub mod machine;
pub mod memory;
pub mod run;
#[cfg(test)]
mod tests;
