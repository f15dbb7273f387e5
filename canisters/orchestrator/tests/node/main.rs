//! The real wasm on the real node, through the official agent with its default checks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
#![allow(missing_docs, reason = "nobody imports a test")]

mod certified;
mod garbage;
mod ledger;
mod memory;
mod network;
mod roles;
mod scale;
mod upgrade;
mod wasm;
mod writing;

#[path = "../../src/tests/offers.rs"]
mod offers;
#[path = "../../src/tests/story.rs"]
mod story;
