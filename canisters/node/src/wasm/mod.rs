//! Modules: checking, rewriting, compiling.
//!
//! ```text
//! upload ─▶ gunzip ─▶ inspect (what the IC allows) ─▶ rewrite (restorable, counting) ─▶ compile ─▶ Compiled
//! ```

pub mod ahead;
pub mod cache;
pub mod depth;
pub mod engine;
pub mod frames;
pub mod inspect;
pub mod packed;
pub mod rewrite;
pub mod turns;
