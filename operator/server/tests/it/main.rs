//! Tests of the whole server: the real router over TLS on loopback, real files, a double of Kubernetes.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api_server;
mod base_links;
mod crash;
mod disk_double;
mod evidence;
mod frames_law;
mod full;
mod grants;
mod hostile_layouts;
mod hostile_registries;
mod image_rules;
mod images;
mod killed;
mod layouts;
mod memory;
mod people;
mod people_api;
mod placed;
mod program;
mod reading;
mod registry;
mod reports;
mod retention;
mod reviews;
mod revoked;
mod scripted_registry;
mod sessions;
mod slow;
mod stopping;
mod stream;
mod support;
mod uploads;
