//! The laws of a run, in a simulated cluster.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod checks;
mod crashes;
mod drive;
mod faults;
mod kubelet;
mod ledger;
mod random;
mod replica;
mod replicas;
mod scenario;
mod terminal;
mod world;
