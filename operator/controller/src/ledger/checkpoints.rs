//! The operator's last verified head, in a ConfigMap: a restarted operator still notices a fork.

use async_trait::async_trait;
use dcanary_ledger::{
    Checkpoint, CheckpointStore,
    checkpoint::{CheckpointError, network_name},
};
use ic_agent::export::Principal;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::config::Config;

/// Keeps checkpoints in one ConfigMap, a key for each network and ledger: the first canister has the same id on every node.
pub struct ConfigMapCheckpoints {
    api: Api<ConfigMap>,
    name: String,
    network: String,
}

impl ConfigMapCheckpoints {
    /// In the operator's namespace, of the ledgers of the network with this root key.
    pub fn new(client: Client, config: &Config, root_key: &[u8]) -> Self {
        Self {
            api: Api::namespaced(client, &config.namespace),
            name: format!("{}-checkpoint", config.installation),
            network: network_name(root_key),
        }
    }

    fn key(&self, ledger: Principal) -> String {
        format!("{}.{ledger}", self.network)
    }

    fn error(&self, verb: &'static str, reason: impl ToString) -> CheckpointError {
        CheckpointError {
            verb,
            place: format!("ConfigMap {}", self.name),
            reason: reason.to_string(),
        }
    }
}

#[async_trait]
impl CheckpointStore for ConfigMapCheckpoints {
    async fn load(&self, ledger: Principal) -> Result<Option<Checkpoint>, CheckpointError> {
        let map = self
            .api
            .get_opt(&self.name)
            .await
            .map_err(|error| self.error("read", error))?;
        let text = map
            .and_then(|map| map.data)
            .and_then(|mut data| data.remove(&self.key(ledger)));
        text.map(|text| serde_json::from_str(&text).map_err(|error| self.error("read", error)))
            .transpose()
    }

    async fn save(&self, ledger: Principal, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let text = serde_json::to_string(checkpoint).map_err(|error| self.error("write", error))?;
        let map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self.name, "labels": {"app.kubernetes.io/part-of": "dcanary"}},
            "data": {self.key(ledger): text},
        });
        // an owner of its own for each network: what one applies takes nothing away that another has remembered
        let params = PatchParams::apply(&format!("dcanary-operator-{}", self.network)).force();
        self.api
            .patch(&self.name, &params, &Patch::Apply(&map))
            .await
            .map(drop)
            .map_err(|error| self.error("write", error))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::sync::Arc;

    use dcanary_ledger::{IcLedger, IcLedgerConfig, Ledger as _, key, setup::FIRST_CANISTER};

    use super::*;
    use crate::{
        ledger::keys::test_root_key,
        testing::{Answer, ApiServer, config, provider},
    };

    fn key_of_first(root_key: &[u8]) -> String {
        format!("{}.{FIRST_CANISTER}", network_name(root_key))
    }

    #[tokio::test]
    async fn what_is_remembered_of_a_network_is_not_taken_for_another_one_with_the_same_canister() {
        let kept = Checkpoint {
            ledger: FIRST_CANISTER.as_slice().to_vec(),
            size: 7,
            root: [9; 32],
            time: 1,
            certificate: vec![1],
            hash_tree: vec![2],
        };
        let text = serde_json::to_string(&kept).unwrap();
        let root_key = test_root_key();
        let key = key_of_first(&root_key);
        let api = ApiServer::start(move |_| {
            Answer::ok(&json!({"metadata": {"name": "dcanary-checkpoint"}, "data": {&key: text}}))
        });
        provider();
        let of = |root_key: &[u8]| ConfigMapCheckpoints::new(api.client(), &config(), root_key);
        let (here, elsewhere) = (of(&root_key), of(b"another"));
        assert_eq!(here.load(FIRST_CANISTER).await.unwrap(), Some(kept));
        assert_eq!(elsewhere.load(FIRST_CANISTER).await.unwrap(), None);
    }

    /// What a client says that finds this text as its checkpoint, and a network that nobody runs.
    async fn found(text: String) -> dcanary_ledger::LedgerError {
        let root_key = test_root_key();
        let kept = key_of_first(&root_key);
        let api = ApiServer::start(move |request| {
            assert!(
                request.path.ends_with("/configmaps/dcanary-checkpoint"),
                "{}",
                request.path
            );
            Answer::ok(&json!({
                "metadata": {"name": "dcanary-checkpoint"}, "data": {&kept: text},
            }))
        });
        provider();
        let identity = key::parse(&key::generate().unwrap(), "a test").unwrap();
        let store = Arc::new(ConfigMapCheckpoints::new(api.client(), &config(), &root_key));
        let config = IcLedgerConfig::new(
            "http://127.0.0.1:9",
            root_key,
            FIRST_CANISTER,
            Arc::new(identity),
            store,
        );
        IcLedger::connect(config).unwrap().head().await.unwrap_err()
    }

    #[tokio::test]
    async fn a_swapped_config_map_with_the_checkpoint_is_refused_by_name_before_anything_is_asked() {
        let forged = Checkpoint {
            ledger: FIRST_CANISTER.as_slice().to_vec(),
            size: 1_000_000,
            root: [9; 32],
            time: 1,
            certificate: vec![1, 2, 3],
            hash_tree: vec![4],
        };
        let error = found(serde_json::to_string(&forged).unwrap()).await;
        assert_eq!(error.reason(), "CheckpointSwapped", "{error}");
        assert!(error.to_string().contains("delete it to start again"), "{error}");
    }

    #[tokio::test]
    async fn a_checkpoint_that_is_no_checkpoint_is_named_with_its_config_map() {
        let error = found("{}".to_owned()).await;
        assert_eq!(error.reason(), "CheckpointUnavailable", "{error}");
        assert!(
            error.to_string().contains("ConfigMap dcanary-checkpoint"),
            "{error}"
        );
    }
}
