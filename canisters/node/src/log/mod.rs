//! Durability.
//!
//! ```text
//! batch ─▶ journal: write ─▶ sync ─────────┬─▶ published, answered
//!                      └──▶ machine: apply ─┘ └─▶ now and then a checkpoint; then the log before it is removed
//! start: newest checkpoint ─▶ replay the log after it, comparing state roots ─▶ go on
//! ```
//!
//! Nothing is answered, shown or kept before its batch is synced, and executing depends on nothing but the batches.

pub mod checkpoint;
pub mod codec;
#[cfg(test)]
pub mod crash;
pub mod disk;
pub mod format;
pub mod frame;
pub mod journal;
pub mod replay;
