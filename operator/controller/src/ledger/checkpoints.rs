//! The operator's last verified head, in a ConfigMap: a restarted operator still notices a fork.

use async_trait::async_trait;
use dcanary_ledger::{Checkpoint, CheckpointStore, checkpoint::CheckpointError};
use ic_agent::export::Principal;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::config::Config;

/// Keeps checkpoints in one ConfigMap, a key for each ledger.
pub struct ConfigMapCheckpoints {
    api: Api<ConfigMap>,
    name: String,
}

impl ConfigMapCheckpoints {
    /// In the operator's namespace.
    pub fn new(client: Client, config: &Config) -> Self {
        Self {
            api: Api::namespaced(client, &config.namespace),
            name: format!("{}-checkpoint", config.installation),
        }
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
            .and_then(|mut data| data.remove(&ledger.to_text()));
        text.map(|text| serde_json::from_str(&text).map_err(|error| self.error("read", error)))
            .transpose()
    }

    async fn save(&self, ledger: Principal, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let text = serde_json::to_string(checkpoint).map_err(|error| self.error("write", error))?;
        let map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self.name, "labels": {"app.kubernetes.io/part-of": "dcanary"}},
            "data": {ledger.to_text(): text},
        });
        let params = PatchParams::apply("dcanary-operator").force();
        self.api
            .patch(&self.name, &params, &Patch::Apply(&map))
            .await
            .map(drop)
            .map_err(|error| self.error("write", error))
    }
}
