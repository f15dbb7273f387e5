//! Settings of the operator that decisions depend on.

use std::collections::BTreeMap;

use crate::{limits::Limits, pod::PodKey};

/// Settings of the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Project of Pipelines that name none.
    pub project: String,
    /// There is a ledger. Without one nothing can be recorded, so every run counts as one with `ledger.mode: off`.
    pub ledger: bool,
    /// Image with the runner at `/dcanary-runner`.
    pub runner_image: String,
    /// How the runner gets into build Pods.
    pub delivery: Delivery,
    /// Base URL of the server, e.g. `https://dcanary-server.dcanary.svc:8443`.
    pub server_url: String,
    /// PEM of the certificate authority of the server.
    pub server_ca: String,
    /// Pull policy of the runner image; `None` = the cluster's default.
    pub runner_pull_policy: Option<String>,
    /// Proves that a Pod was made by the operator.
    pub pod_key: PodKey,
    /// Labels on every Pod, besides ours.
    pub labels: BTreeMap<String, String>,
    /// Limits of definitions and of results in a status.
    pub limits: Limits,
}

/// How the runner gets into build Pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Delivery {
    /// As an image volume.
    #[default]
    ImageVolume,
    /// Copied by an init container.
    Init,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            project: "default".to_owned(),
            ledger: true,
            runner_image: String::new(),
            delivery: Delivery::default(),
            server_url: String::new(),
            server_ca: String::new(),
            runner_pull_policy: None,
            pod_key: PodKey::default(),
            labels: BTreeMap::new(),
            limits: Limits::default(),
        }
    }
}
