//! The volume of a stateful part, seen from a Pod beside it: for tests that fill it or swap what is on it.

use std::time::Duration;

use anyhow::{Context, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, PostParams},
    runtime::{conditions, wait::await_condition},
};
use serde_json::json;

use crate::{Cluster, exec::sh, fixtures::BUSYBOX};

const START: Duration = Duration::from_secs(60);

/// A volume at `/data` of a Pod that does nothing else.
pub struct Volume {
    pods: Api<Pod>,
    pod: String,
}

impl Volume {
    /// Mounts the volume of a stateful part (`system::LEDGER`, `system::SERVER`).
    ///
    /// # Errors
    /// When the Pod does not start.
    pub async fn open(cluster: &Cluster, part: &str) -> Result<Self> {
        let pods: Api<Pod> = Api::namespaced(cluster.client.clone(), &cluster.operator_namespace);
        // as the product's own Pods, so that files keep their owner
        let pod = serde_json::from_value(json!({
            "metadata": {"generateName": format!("e2e-volume-{part}-"), "labels": {"dcanary.dev/e2e": "true"}},
            "spec": {
                "restartPolicy": "Never", "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
                "securityContext": {
                    "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "fsGroup": 65532,
                    "fsGroupChangePolicy": "OnRootMismatch", "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [{
                    "name": "shell", "image": BUSYBOX, "command": ["sleep", "3600"],
                    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                }],
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": format!("data-{part}-0")}}],
            },
        }))?;
        let pod = pods.create(&PostParams::default(), &pod).await?.name_any();
        let running = await_condition(pods.clone(), &pod, conditions::is_pod_running());
        tokio::time::timeout(START, running)
            .await
            .with_context(|| format!("Pod {pod} with the volume of {part} does not start"))??;
        Ok(Self { pods, pod })
    }

    /// Runs a script and returns what it printed.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub async fn sh(&self, script: &str) -> Result<String> {
        sh(&self.pods, &self.pod, script).await
    }

    /// Bytes that are free on it.
    ///
    /// # Errors
    /// When it cannot be measured.
    pub async fn free(&self) -> Result<u64> {
        let told = self.sh("df -Pk /data | tail -n 1").await?;
        let kilobytes = told.split_whitespace().nth(3).context("a column of df")?;
        Ok(kilobytes.parse::<u64>()? * 1024)
    }

    /// Ends the Pod. The volume stays.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub async fn close(self) -> Result<()> {
        self.pods
            .delete(&self.pod, &DeleteParams::default().grace_period(0))
            .await?;
        Ok(())
    }
}
