//! The node as the unmodified official client sees it, with all of its verification on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod bodies;
mod browsers;
mod calls;
mod cdk;
mod connections;
mod delegated;
mod durability;
mod fair;
mod gateway;
mod ingress;
mod large;
mod metrics;
mod network;
mod process;
mod program;
mod quotas;
mod speed;
mod subnet;
mod webhooks;
