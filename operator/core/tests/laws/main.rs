//! The laws of a run, in a simulated cluster.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod budget;
mod checks;
mod crashes;
mod creation;
mod deployments;
mod drive;
mod faults;
mod foreign;
mod kstatus;
mod kubelet;
mod ledger;
mod missing;
mod promotions;
mod random;
mod replica;
mod replicas;
mod retries;
mod scenario;
mod server;
mod stalled;
mod store_full;
mod terminal;
mod unbuilt;
mod world;
