//! Laws of a rollout, on a model of everything around a decision.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod build;
mod chain;
mod cluster;
mod contest;
mod ledger;
mod lost;
mod mirror;
mod opened;
mod paths;
mod people;
mod random;
mod refused;
mod services;
mod templates;
mod watch;
mod world;
