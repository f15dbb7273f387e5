//! Expressions: typed `$(…)` references and CEL conditions, evaluated alike by operator, runner and lint.
//!
//! ```text
//! "tag-$(params.version)"      Template   text and references, rendered into values, never into scripts
//! 'params.env == "prod"'       Condition  CEL, a bounded cost, a boolean
//! "result < 0.01"              the same, over values that were measured
//! ```

mod advice;
pub mod condition;
mod cost;
pub mod measured;
mod mention;
pub mod reference;
mod shape;
mod size;
#[cfg(test)]
mod stack_tests;
pub mod template;
mod text;
pub mod typed;
mod uses;

pub use condition::{Condition, ConditionError, Status};
pub use measured::FUNCTIONS;
pub use mention::{Mention, mentions, mentions_in_script};
pub use reference::{Reference, Values};
pub use template::{Template, TemplateError};
pub use typed::Mistyped;
pub use uses::Uses;

/// Longest expression in bytes.
pub const EXPRESSION_BYTES: usize = 4 * 1024;
/// Highest cost of one evaluation, in steps.
pub const COST: u64 = 100_000;
/// Most memory that one evaluation may hold, in bytes. All parameters and results of a usual run are a part of it.
pub const MEMORY: u64 = 4 << 20;
