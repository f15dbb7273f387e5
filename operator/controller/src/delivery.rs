//! How the runner gets into build Pods: decided by a probe Pod that executes it from an image volume.
//!
//! Image volumes exist from Kubernetes 1.33 on, behind a gate until 1.36, and a runtime may mount them without execution. Only trying tells.
//! The answer is kept in the ConfigMap `<installation>-delivery` for this runner image and this version of Kubernetes, so that an operator that
//! takes over begins at once. Deleting the ConfigMap and restarting the operator asks again.

use std::time::Duration;

use dcanary_core::Delivery;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    runtime::wait::await_condition,
};
use serde_json::json;
use thiserror::Error;
use tracing::{info, warn};

use crate::config::{Config, DeliveryChoice};

/// The probe cannot be run.
#[derive(Debug, Error)]
#[error("{verb} how the runner is delivered")]
pub struct DeliveryError {
    verb: &'static str,
    #[source]
    source: Box<kube::Error>,
}

/// Time for the probe. A Pod that cannot start for want of a node falls back to the init container, which always works.
const LIMIT: Duration = Duration::from_secs(45);

/// The way that was chosen, or that the probe found.
///
/// # Errors
/// When the probe Pod cannot be created.
pub async fn decide(client: &Client, config: &Config) -> Result<Delivery, DeliveryError> {
    match config.runner_delivery {
        DeliveryChoice::ImageVolume => Ok(Delivery::ImageVolume),
        DeliveryChoice::Init => Ok(Delivery::Init),
        DeliveryChoice::Auto => remembered(client, config).await,
    }
}

/// What an earlier operator found out, else what the probe says, which is written down.
async fn remembered(client: &Client, config: &Config) -> Result<Delivery, DeliveryError> {
    let version = client.apiserver_version().await.map_err(failed("choose"))?;
    let asked = format!("{} on {}", config.runner_image, version.git_version);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &config.namespace);
    let name = format!("{}-delivery", config.installation);
    let known = maps.get_opt(&name).await.map_err(failed("remember"))?;
    if let Some(found) = known
        .and_then(|map| map.data)
        .filter(|data| data.get("of") == Some(&asked))
    {
        match found.get("delivery").map(String::as_str) {
            Some(IMAGE_VOLUME) => return Ok(Delivery::ImageVolume),
            Some(INIT) => return Ok(Delivery::Init),
            _ => {}
        }
    }
    let (delivery, certain) = probe(client, config).await?;
    if certain {
        let word = match delivery {
            Delivery::ImageVolume => IMAGE_VOLUME,
            Delivery::Init => INIT,
        };
        let map = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "dcanary"}},
            "data": {"of": asked, "delivery": word},
        });
        let params = PatchParams::apply("dcanary-operator").force();
        maps.patch(&name, &params, &Patch::Apply(&map))
            .await
            .map_err(failed("remember"))?;
    }
    Ok(delivery)
}

const IMAGE_VOLUME: &str = "imageVolume";
const INIT: &str = "init";

fn failed(verb: &'static str) -> impl FnOnce(kube::Error) -> DeliveryError {
    move |source| DeliveryError {
        verb,
        source: Box::new(source),
    }
}

/// The way that works, and whether that is certain (a probe that could not run says nothing about the cluster).
async fn probe(client: &Client, config: &Config) -> Result<(Delivery, bool), DeliveryError> {
    let api: Api<Pod> = Api::namespaced(client.clone(), &config.namespace);
    let pod: Pod = serde_json::from_value(manifest(config)).unwrap_or_default();
    let name = match api.create(&PostParams::default(), &pod).await {
        Ok(created) => created.name_any(),
        // an old API server or a policy that knows no image volumes refuses the Pod itself
        Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 422) => {
            info!(
                message = status.message,
                "image volumes are refused: the runner comes by init container"
            );
            return Ok((Delivery::Init, true));
        }
        Err(source) => return Err(failed("probe")(source)),
    };
    let ended = |pod: Option<&Pod>| {
        let phase = pod
            .and_then(|pod| pod.status.as_ref())
            .and_then(|status| status.phase.as_deref());
        matches!(phase, Some("Succeeded" | "Failed"))
    };
    let watched = tokio::time::timeout(LIMIT, await_condition(api.clone(), &name, ended)).await;
    if let Err(source) = api.delete(&name, &DeleteParams::background()).await {
        warn!(
            error = &source as &dyn std::error::Error,
            pod = name,
            "the probe Pod could not be deleted"
        );
    }
    let phase = match watched {
        Ok(Ok(Some(pod))) => pod.status.and_then(|status| status.phase).unwrap_or_default(),
        _ => "nothing in time".into(),
    };
    if phase == "Succeeded" {
        info!("the runner comes from an image volume");
        Ok((Delivery::ImageVolume, true))
    } else {
        warn!(
            phase,
            "the runner cannot be executed from an image volume here: it comes by init container"
        );
        Ok((Delivery::Init, phase == "Failed"))
    }
}

fn manifest(config: &Config) -> serde_json::Value {
    let mut volume = json!({"reference": config.runner_image});
    if !config.runner_pull_policy.is_empty() {
        volume["pullPolicy"] = json!(config.runner_pull_policy);
    }
    let mut container = json!({
        "name": "probe",
        "image": config.runner_image,
        "command": ["/dcanary/dcanary-runner", "probe"],
        "volumeMounts": [{"name": "runner", "mountPath": "/dcanary", "readOnly": true}],
        "resources": {"requests": {"cpu": "1m", "memory": "8Mi"}, "limits": {"memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": {"drop": ["ALL"]},
        },
    });
    if !config.runner_pull_policy.is_empty() {
        container["imagePullPolicy"] = json!(config.runner_pull_policy);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": format!("{}-probe-", config.installation),
            "labels": {"app.kubernetes.io/part-of": "dcanary", "app.kubernetes.io/component": "probe"},
        },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "runner", "image": volume}],
        },
    })
}
