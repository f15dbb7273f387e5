//! The cluster under test, from `KUBECONFIG`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use kube::{Client, Config, config::KubeConfigOptions};

/// A client and where things are.
#[derive(Clone)]
pub struct Cluster {
    /// Client with the rights of the kubeconfig.
    pub client: Client,
    /// Namespace of the operator.
    pub operator_namespace: String,
}

impl Cluster {
    /// Connects with the kubeconfig that `KUBECONFIG` names.
    ///
    /// # Errors
    /// When there is no kubeconfig or the API server cannot be reached.
    pub async fn connect() -> Result<Self> {
        // a second call finds the provider installed, which is as good
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = Config::from_kubeconfig(&KubeConfigOptions::default())
            .await
            .context(
                "no cluster: run `make up`, then set KUBECONFIG to the path that `make kubeconfig` prints",
            )?;
        let client = Client::try_from(config)?;
        client
            .apiserver_version()
            .await
            .context("the API server does not answer: run `make up`")?;
        Ok(Self {
            client,
            operator_namespace: "dcanary-system".into(),
        })
    }
}

/// Folder for what failed tests leave behind.
pub fn evidence_dir() -> PathBuf {
    let home = || std::env::var_os("HOME").map_or_else(|| PathBuf::from("/root"), PathBuf::from);
    let state =
        std::env::var_os("DCANARY_STATE").map_or_else(|| home().join(".local/state/dcanary"), PathBuf::from);
    state.join("e2e")
}

/// Root of the repository.
pub fn repository() -> PathBuf {
    // Cargo sets it for what it runs, and a program may be older than the checkout that it is run in
    let here = std::env::var_os("CARGO_MANIFEST_DIR");
    here.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from)
        .join("../..")
}
