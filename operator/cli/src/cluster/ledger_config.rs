//! What the cluster says about its ledger: ConfigMap `dcanary-ledger` in the operator's namespace.
//!
//! These are hints. Whoever can write the ConfigMap can name an impostor's network, so `verify` compares them with the
//! trust file and fails by name where they differ.

use std::collections::BTreeMap;

use ic_agent::export::Principal;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;

use super::{Cluster, forward::Forward};
use crate::{args::Global, exit::Failure};

/// Name of the ConfigMap.
pub const NAME: &str = "dcanary-ledger";

/// What the ConfigMap says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerConfig {
    /// URL of the network.
    pub network: String,
    /// DER-encoded root key.
    pub root_key: Vec<u8>,
    /// Canister id of the ledger.
    pub ledger: Principal,
    /// Project of the operator.
    pub project: String,
    /// Executor domain of the operator.
    pub domain: String,
}

/// Reads the ConfigMap's data: pure.
///
/// # Errors
/// When a key is missing or malformed; the sentence names it.
pub fn read(data: &BTreeMap<String, String>, namespace: &str) -> Result<LedgerConfig, Failure> {
    let place = format!("ConfigMap {namespace}/{NAME}");
    let text = |key: &str| {
        data.get(key)
            .map(|value| value.trim().to_owned())
            .filter(|value| !value.is_empty())
            .ok_or_else(|| {
                Failure::cannot_tell(format!(
                    "{place} lacks `{key}`; the operator writes it when the ledger is set up"
                ))
            })
    };
    let wrong = |key: &str, what: &str| Failure::cannot_tell(format!("{place}: `{key}` is not {what}"));
    let root_key = hex::decode(text("rootKey")?).map_err(|_| wrong("rootKey", "hex of a DER-encoded key"))?;
    let ledger = Principal::from_text(text("orchestrator")?)
        .map_err(|_| wrong("orchestrator", "the text form of a canister id"))?;
    Ok(LedgerConfig {
        network: text("network")?,
        root_key,
        ledger,
        project: text("project")?,
        domain: text("domain")?,
    })
}

/// Whether a host name is one of the cluster's own, of no use outside: pure.
pub fn is_in_cluster(url: &str) -> bool {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = host.split(['/', ':']).next().unwrap_or_default();
    let host = host.strip_suffix('.').unwrap_or(host);
    let inside =
        host.strip_suffix(".svc").is_some() || host.contains(".svc.") || host.ends_with(".cluster.local");
    inside || (!host.contains('.') && host != "localhost" && !host.starts_with('['))
}

/// The Service that an in-cluster URL names: pure.
fn service_of(url: &str) -> Option<&str> {
    let host = url.split_once("://").map_or(url, |(_, rest)| rest);
    host.split(['/', ':', '.']).next().filter(|name| !name.is_empty())
}

/// The Service of the node in the cluster that the ConfigMap's data names: pure.
///
/// # Errors
/// When the ledger is on a network of others, or nothing is named.
fn node_service(data: &BTreeMap<String, String>, namespace: &str) -> Result<String, Failure> {
    let place = format!("ConfigMap {namespace}/{NAME}");
    let network = data.get("network").map(|url| url.trim()).unwrap_or_default();
    if network.is_empty() {
        return Err(Failure::cannot_tell(format!(
            "{place} lacks `network`; the operator writes it when the ledger is set up"
        )));
    }
    service_of(network)
        .filter(|_| is_in_cluster(network))
        .map(str::to_owned)
        .ok_or_else(|| {
            Failure::failed(format!(
                "the ledger is at {network} and not on a node in this cluster ({place}): its data is its network's matter"
            ))
        })
}

/// A URL to reach the network, with the port-forward that serves it.
pub struct Route {
    /// URL.
    pub url: String,
    _forward: Option<Forward>,
}

impl Route {
    /// A URL that needs no help.
    pub fn direct(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            _forward: None,
        }
    }
}

impl Cluster {
    /// The cluster, and what it says about its ledger.
    ///
    /// # Errors
    /// When there is no usable kubeconfig, or the cluster says nothing.
    pub async fn with_ledger(global: &Global) -> Result<(Self, LedgerConfig), Failure> {
        let cluster = Self::connect(global).await?;
        let hints = cluster.ledger_config().await?;
        Ok((cluster, hints))
    }

    /// What the cluster says about its ledger.
    ///
    /// # Errors
    /// When there is no ConfigMap or it is malformed.
    pub async fn ledger_config(&self) -> Result<LedgerConfig, Failure> {
        read(&self.ledger_data().await?, &self.operator_namespace)
    }

    /// Service of the node in the cluster. Its name begins with that of the installation.
    ///
    /// # Errors
    /// When there is no ConfigMap, or the ledger is on a network of others.
    pub async fn node_service(&self) -> Result<String, Failure> {
        node_service(&self.ledger_data().await?, &self.operator_namespace)
    }

    async fn ledger_data(&self) -> Result<BTreeMap<String, String>, Failure> {
        let namespace = &self.operator_namespace;
        let maps: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let found = maps.get(NAME).await.map_err(|source| match &source {
            kube::Error::Api(status) if status.code == 404 => Failure::cannot_tell(format!(
                "there is no ConfigMap {NAME} in namespace {namespace}; name the operator's namespace with --operator-namespace"
            )),
            other => self.explain(other, &format!("ConfigMap {NAME}")),
        })?;
        Ok(found.data.unwrap_or_default())
    }

    /// A way to the network: through the API server where its name is the cluster's own.
    ///
    /// # Errors
    /// When it has to be forwarded and cannot be.
    pub async fn route(&self, network: &str) -> Result<Route, Failure> {
        if !is_in_cluster(network) {
            return Ok(Route::direct(network));
        }
        let forward = self.forward(service_of(network).unwrap_or(NAME)).await?;
        Ok(Route {
            url: format!("http://{}", forward.address()),
            _forward: Some(forward),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data() -> BTreeMap<String, String> {
        [
            ("network", "http://dcanary-ledger.dcanary-system.svc:8080"),
            ("rootKey", "3081\n"),
            ("orchestrator", "rwlgt-iiaaa-aaaaa-aaaaa-cai"),
            ("project", "shop"),
            ("domain", "east"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
    }

    #[test]
    fn the_config_map_is_read() {
        let config = read(&data(), "ops").unwrap();
        assert_eq!(config.root_key, [0x30, 0x81]);
        assert_eq!(
            (config.project.as_str(), config.domain.as_str()),
            ("shop", "east")
        );
    }

    #[test]
    fn a_missing_or_malformed_key_is_named_with_its_place() {
        for (key, value, said) in [
            ("network", "", "lacks `network`"),
            ("rootKey", "xyz", "`rootKey` is not hex"),
            ("orchestrator", "canister", "`orchestrator` is not the text form"),
        ] {
            let mut data = data();
            data.insert(key.to_owned(), value.to_owned());
            let message = read(&data, "ops").unwrap_err().message;
            assert!(
                message.starts_with("ConfigMap ops/dcanary-ledger") && message.contains(said),
                "{message}"
            );
        }
    }

    #[test]
    fn the_service_is_the_first_part_of_an_in_cluster_name() {
        assert_eq!(service_of("http://ci-ledger.ops.svc:8080"), Some("ci-ledger"));
        assert_eq!(service_of("http://dcanary-ledger:8080/x"), Some("dcanary-ledger"));
        assert_eq!(service_of("http://"), None);
    }

    #[test]
    fn the_node_is_in_the_cluster_or_there_is_none_to_back_up() {
        let service = |url: &str| node_service(&[("network".to_owned(), url.to_owned())].into(), "ops");
        assert_eq!(
            service("http://ci-ledger.ops.svc:8080\n"),
            Ok("ci-ledger".to_owned())
        );
        let told = service("https://icp-api.io").unwrap_err().message;
        assert!(
            told.contains("https://icp-api.io") && told.contains("not on a node"),
            "{told}"
        );
        let told = service(" ").unwrap_err().message;
        assert!(
            told.contains("ConfigMap ops/dcanary-ledger lacks `network`"),
            "{told}"
        );
    }

    #[test]
    fn names_of_the_cluster_are_told_from_those_outside() {
        for inside in [
            "http://dcanary-ledger:8080",
            "http://x.ns.svc",
            "http://x.ns.svc.cluster.local:1/a",
        ] {
            assert!(is_in_cluster(inside), "{inside}");
        }
        for outside in [
            "http://127.0.0.1:8080",
            "https://icp-api.io",
            "http://localhost:1",
            "http://[::1]:1",
        ] {
            assert!(!is_in_cluster(outside), "{outside}");
        }
    }
}
