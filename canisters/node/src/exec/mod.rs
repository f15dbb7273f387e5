//! Execution: the deterministic core.
//!
//! ```text
//! Batch ─▶ Machine: schedule ─▶ management canister │ contexts ─▶ run (fresh instance) ─▶ next version of the canister
//!                      ▲                                   │
//!                      └──── calls, answers, timers ───────┘
//! ```

pub mod batch;
pub mod call;
mod callbacks;
mod composite;
mod contexts;
mod effects;
mod index;
mod ingress;
pub mod limits;
pub mod machine;
pub mod memory;
pub mod quota;
pub mod run;
pub mod schedule;
#[cfg(test)]
mod tests;
