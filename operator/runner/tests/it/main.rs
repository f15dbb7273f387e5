//! Drives the real program against a double of the server that follows `docs/protocol.md`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "tests"
)]

mod artifacts;
mod checkout;
mod checkout_safety;
mod checkout_tokens;
mod double;
mod git_server;
mod pod;
mod processes;
mod results;
mod scripts;
mod secrets;
mod session;
mod ssh;
mod ssh_rsa;
mod stream;
