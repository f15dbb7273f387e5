//! Tests of the whole server: the real router over TLS on loopback, real files, a double of Kubernetes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod crash;
mod disk_double;
mod frames_law;
mod full;
mod images;
mod killed;
mod memory;
mod protocol;
mod reading;
mod registry;
mod retention;
mod slow;
mod stopping;
mod support;
mod uploads;
