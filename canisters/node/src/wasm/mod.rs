//! Modules: checking, rewriting, compiling.
//!
//! ```text
//! upload ─▶ gunzip ─▶ inspect (what the IC allows) ─▶ rewrite (restorable) ─▶ compile ─▶ Compiled
//! ```

pub mod cache;
pub mod engine;
pub mod inspect;
pub mod rewrite;
