//! What the end-to-end tests stand on: a real cluster, a namespace for each test, and everything kept when one fails.
//!
//! ```text
//! scenario("name", |ns| async move {      namespace with the restricted profile
//!     ns.apply(yaml).await?;              server-side apply
//!     let run = ns.finished("r").await?;  a watch, no polling
//!     …
//! })                                      failure: objects, events and logs in $DCANARY_STATE/e2e/<name>/
//! ```
//!
//! `DCANARY_E2E_KEEP=1` keeps the namespaces of failed tests.

pub mod absence;
pub mod artifacts;
pub mod cli;
pub mod cluster;
pub mod data_plane;
pub mod delivery;
pub mod evidence;
pub mod example_app;
pub mod exec;
pub mod external;
pub mod fixtures;
pub mod follow;
pub mod forward;
pub mod git_server;
pub mod gitops;
pub mod journal;
pub mod kubectl;
pub mod ledger;
pub mod load;
pub mod metrics;
pub mod namespace;
pub mod person;
pub mod run;
pub mod system;
pub mod volume;

pub use cluster::Cluster;
pub use namespace::{Namespace, scenario};
pub use run::RunView;
