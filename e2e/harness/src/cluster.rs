//! The cluster under test, from `KUBECONFIG`.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use anyhow::{Context, Result};
use kube::{
    Client, Config,
    config::KubeConfigOptions,
    core::GroupVersionKind,
    discovery::{ApiResource, Scope, pinned_kind},
};

/// Kinds that the cluster is known to have. Shared by all tests of a process: asking for them was a quarter of all requests.
static KINDS: Mutex<Option<HashMap<GroupVersionKind, (ApiResource, Scope)>>> = Mutex::new(None);

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

    /// The resource of a kind, and whether its objects have a namespace.
    pub(crate) async fn kind(&self, kind: &GroupVersionKind) -> Result<(ApiResource, Scope)> {
        let known = || KINDS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known().as_ref().and_then(|kinds| kinds.get(kind)) {
            return Ok(found.clone());
        }
        let (resource, capabilities) = pinned_kind(&self.client, kind)
            .await
            .with_context(|| format!("the cluster does not know {}", kind.kind))?;
        let found = (resource, capabilities.scope);
        known()
            .get_or_insert_default()
            .insert(kind.clone(), found.clone());
        Ok(found)
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
