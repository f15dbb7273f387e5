//! Environments: what happened where releases run, and what may happen next (sections 11 and 12).
//!
//! An environment is recorded like a run: its UID stands in the field `run`, its records are numbered from 0. It is
//! opened once and stays open until it is closed, so it has no graph and no list of stages.

mod body;
mod error;
mod machine;
mod request;
mod saved;
mod transition;

#[cfg(test)]
mod tests;

pub use error::{EnvStateError, IllegalEnv, IllegalEnvReason, Shown};
pub use machine::{EnvMachine, HasPromoted};
pub use request::Request;
pub use transition::{EnvTransition, Verdict};

use crate::record::Record;

/// One record of an environment. Its UID stands in [`Record::run`].
pub type EnvRecord = Record<EnvTransition>;
