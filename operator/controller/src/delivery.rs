//! How the runner gets into build Pods: decided by probe Pods that execute it from an image volume.
//!
//! Image volumes exist from Kubernetes 1.33 on, behind a gate until 1.36, and a runtime may mount them without execution. Only trying tells,
//! on one node of each version of kubelet and container runtime. The answer is kept in the ConfigMap `<installation>-delivery` for this
//! runner image and these versions, so that an operator that takes over begins at once. A refusal says nothing about the nodes and is not
//! kept: the next start asks again.

use std::{collections::BTreeMap, time::Duration};

use dcanary_core::Delivery;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{ConfigMap, Node, Pod};
use kube::{
    Api, Client, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams},
    runtime::wait::await_condition,
};
use serde_json::json;
use sha2::{Digest, Sha256};
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

/// Time for the probes. A Pod that cannot start for want of a node falls back to the init container, which always works.
const LIMIT: Duration = Duration::from_secs(45);
/// A probe Pod of this age was left by an operator that went away in between.
const LEFT: SignedDuration = SignedDuration::from_secs(90);
/// Most kinds of nodes that are tried. More of them wait for no probe: the init container works everywhere.
const KINDS: usize = 12;

const IMAGE_VOLUME: &str = "imageVolume";
const INIT: &str = "init";
const LABELS: &str = "app.kubernetes.io/part-of=dcanary,app.kubernetes.io/component=probe";

/// The way that was chosen, or that the probes found.
///
/// # Errors
/// When it cannot be found out.
pub async fn decide(client: &Client, config: &Config) -> Result<Delivery, DeliveryError> {
    match config.runner_delivery {
        DeliveryChoice::ImageVolume => Ok(Delivery::ImageVolume),
        DeliveryChoice::Init => Ok(Delivery::Init),
        DeliveryChoice::Auto => remembered(client, config).await,
    }
}

fn failed(verb: &'static str) -> impl FnOnce(kube::Error) -> DeliveryError {
    move |source| DeliveryError {
        verb,
        source: Box::new(source),
    }
}

/// What an earlier operator found out, else what the probes say, which is written down.
async fn remembered(client: &Client, config: &Config) -> Result<Delivery, DeliveryError> {
    clean(client, config).await;
    let nodes: Api<Node> = Api::all(client.clone());
    let nodes = nodes
        .list(&ListParams::default())
        .await
        .map_err(failed("choose"))?
        .items;
    let kinds = kinds(&nodes);
    let asked = question(&config.runner_image, &kinds);
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
    let (delivery, certain) = probes(client, config, &kinds).await?;
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

/// A node that is up of each version of kubelet and container runtime; `None` when no node of that version is up.
fn kinds(nodes: &[Node]) -> BTreeMap<String, Option<String>> {
    let mut kinds: BTreeMap<String, Option<String>> = BTreeMap::new();
    for node in nodes {
        let Some(status) = &node.status else { continue };
        let Some(info) = &status.node_info else { continue };
        let kind = format!(
            "kubelet {} with {}",
            info.kubelet_version, info.container_runtime_version
        );
        let up = status
            .conditions
            .iter()
            .flatten()
            .any(|condition| condition.type_ == "Ready" && condition.status == "True");
        let of_kind = kinds.entry(kind).or_default();
        if up && of_kind.is_none() {
            *of_kind = Some(node.name_any());
        }
    }
    kinds
}

/// What the answer is about.
fn question(image: &str, kinds: &BTreeMap<String, Option<String>>) -> String {
    let kinds: Vec<&str> = kinds.keys().map(String::as_str).collect();
    format!("{image} on {}", kinds.join("; "))
}

/// Deletes probe Pods that an operator left which went away in between. What cannot be deleted now ends by its own deadline.
async fn clean(client: &Client, config: &Config) {
    let api: Api<Pod> = Api::namespaced(client.clone(), &config.namespace);
    let left = match api.list(&ListParams::default().labels(LABELS)).await {
        Ok(left) => left.items,
        Err(error) => return complain(&error, "probe Pods of earlier operators"),
    };
    let now = Timestamp::now();
    for pod in left.iter().filter(|pod| is_left(pod, now)) {
        let name = pod.name_any();
        info!(pod = name, "an earlier operator left this probe Pod");
        delete(&api, &name).await;
    }
}

/// Whether nobody looks at a probe Pod any more. One that is younger may be of another operator that is just starting.
fn is_left(pod: &Pod, now: Timestamp) -> bool {
    pod.metadata
        .creation_timestamp
        .as_ref()
        .is_some_and(|created| created.0 + LEFT < now)
}

async fn delete(api: &Api<Pod>, name: &str) {
    match api.delete(name, &DeleteParams::background()).await {
        Ok(_) => {}
        Err(kube::Error::Api(status)) if status.code == 404 => {}
        Err(error) => complain(&error, name),
    }
}

fn complain(error: &kube::Error, what: &str) {
    warn!(
        error = error as &dyn std::error::Error,
        what, "it could not be deleted"
    );
}

/// What one probe says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// The runner was executed.
    Works,
    /// It cannot be executed there.
    Fails,
    /// The probe could not run: that says nothing about the node.
    Unknown,
}

/// The way that works everywhere, and whether that is certain.
async fn probes(
    client: &Client,
    config: &Config,
    kinds: &BTreeMap<String, Option<String>>,
) -> Result<(Delivery, bool), DeliveryError> {
    if kinds.len() > KINDS {
        info!(
            kinds = kinds.len(),
            "too many kinds of nodes to try: the runner comes by init container"
        );
        return Ok((Delivery::Init, true));
    }
    let api: Api<Pod> = Api::namespaced(client.clone(), &config.namespace);
    let probes = kinds.iter().map(async |(kind, node)| {
        let Some(node) = node else {
            return Ok(Answer::Unknown);
        };
        let answer = probe(&api, config, kind, node).await?;
        info!(kind, node, ?answer, "the runner from an image volume");
        Ok(answer)
    });
    let answers: Vec<Answer> = futures::future::try_join_all(probes).await?;
    let verdict = verdict(&answers);
    match verdict.0 {
        Delivery::ImageVolume => info!("the runner comes from an image volume"),
        Delivery::Init => warn!(
            certain = verdict.1,
            "the runner cannot be executed from an image volume everywhere here: it comes by init container"
        ),
    }
    Ok(verdict)
}

/// The way, and whether it is worth remembering.
fn verdict(answers: &[Answer]) -> (Delivery, bool) {
    if answers.contains(&Answer::Fails) {
        return (Delivery::Init, true);
    }
    let all = !answers.is_empty() && answers.iter().all(|answer| *answer == Answer::Works);
    if all {
        (Delivery::ImageVolume, true)
    } else {
        (Delivery::Init, false)
    }
}

async fn probe(api: &Api<Pod>, config: &Config, kind: &str, node: &str) -> Result<Answer, DeliveryError> {
    let pod: Pod = serde_json::from_value(manifest(config, kind, node)).unwrap_or_default();
    let name = match api.create(&PostParams::default(), &pod).await {
        Ok(created) => created.name_any(),
        // a policy, or an API server without image volumes: both may be changed, so nothing is remembered
        Err(kube::Error::Api(status)) if matches!(status.code, 400 | 403 | 422) => {
            info!(message = status.message, "a Pod with an image volume is refused");
            return Ok(Answer::Unknown);
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
    delete(api, &name).await;
    let phase = match watched {
        Ok(Ok(Some(pod))) => pod.status.and_then(|status| status.phase).unwrap_or_default(),
        _ => String::new(),
    };
    Ok(match phase.as_str() {
        "Succeeded" => Answer::Works,
        "Failed" => Answer::Fails,
        _ => Answer::Unknown,
    })
}

fn manifest(config: &Config, kind: &str, node: &str) -> serde_json::Value {
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
    let short = hex::encode(&Sha256::digest(kind)[..4]);
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": format!("{}-probe-{short}-", config.installation),
            "labels": {"app.kubernetes.io/part-of": "dcanary", "app.kubernetes.io/component": "probe"},
            "annotations": {"dcanary.dev/probe-of": kind},
        },
        "spec": {
            "restartPolicy": "Never",
            "activeDeadlineSeconds": LIMIT.as_secs(),
            "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 0,
            "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
                {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]},
            ]}}},
            // stages may be sent to any node
            "tolerations": [{"operator": "Exists"}],
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 65532, "runAsGroup": 65532, "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [{"name": "runner", "image": volume}],
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::Value;

    use super::*;
    use crate::testing::{self, Answer as Reply, ApiServer, config};

    fn node(name: &str, kubelet: &str, ready: &str) -> Value {
        json!({
            "metadata": {"name": name},
            "status": {
                "nodeInfo": {
                    "kubeletVersion": kubelet, "containerRuntimeVersion": "containerd://2.1.0", "architecture": "amd64", "bootID": "",
                    "kernelVersion": "", "kubeProxyVersion": "", "machineID": "", "operatingSystem": "linux", "osImage": "", "systemUUID": "",
                },
                "conditions": [{"type": "Ready", "status": ready}],
            },
        })
    }

    fn nodes(of: &[(&str, &str, &str)]) -> Vec<Node> {
        of.iter()
            .map(|(name, kubelet, ready)| serde_json::from_value(node(name, kubelet, ready)).unwrap())
            .collect()
    }

    #[test]
    fn the_answer_is_about_the_versions_on_the_nodes_and_not_about_their_names_or_number() {
        let old = kinds(&nodes(&[("a", "v1.35.0", "True"), ("b", "v1.35.0", "True")]));
        let grown = kinds(&nodes(&[("c", "v1.35.0", "True")]));
        assert_eq!(question("runner", &old), question("runner", &grown));
        let upgraded = kinds(&nodes(&[("a", "v1.35.0", "True"), ("b", "v1.36.0", "True")]));
        assert_ne!(question("runner", &old), question("runner", &upgraded));
        assert_ne!(question("runner", &old), question("other", &old));
    }

    #[test]
    fn only_nodes_that_are_up_are_tried_and_a_version_without_one_leaves_the_answer_open() {
        let kinds = kinds(&nodes(&[
            ("a", "v1.35.0", "Unknown"),
            ("b", "v1.35.0", "True"),
            ("c", "v1.36.0", "False"),
        ]));
        let tried: Vec<Option<&str>> = kinds.values().map(Option::as_deref).collect();
        assert_eq!(tried, [Some("b"), None]);
        assert_eq!(
            verdict(&[Answer::Works, Answer::Unknown]),
            (Delivery::Init, false)
        );
        assert_eq!(verdict(&[Answer::Unknown, Answer::Fails]), (Delivery::Init, true));
        assert_eq!(
            verdict(&[Answer::Works, Answer::Works]),
            (Delivery::ImageVolume, true)
        );
        assert_eq!(verdict(&[]), (Delivery::Init, false));
    }

    #[test]
    fn a_probe_pod_of_another_operator_that_is_just_starting_is_left_alone() {
        let now: Timestamp = "2026-01-01T00:02:00Z".parse().unwrap();
        let pod = |created: &str| -> Pod {
            serde_json::from_value(json!({"metadata": {"name": "p", "creationTimestamp": created}})).unwrap()
        };
        assert!(!is_left(&pod("2026-01-01T00:01:30Z"), now));
        assert!(is_left(&pod("2026-01-01T00:00:00Z"), now));
    }

    #[tokio::test]
    async fn a_refused_probe_is_not_remembered_and_leftovers_are_deleted() {
        let api = ApiServer::start(|request| match (request.method.as_str(), request.path.as_str()) {
            ("GET", path) if path.starts_with("/api/v1/nodes") => Reply::ok(&json!({
                "kind": "NodeList", "apiVersion": "v1", "metadata": {}, "items": [node("a", "v1.36.0", "True")],
            })),
            ("GET", path) if path.contains("/pods") => Reply::ok(&json!({
                "kind": "PodList", "apiVersion": "v1", "metadata": {},
                "items": [{"metadata": {"name": "left", "creationTimestamp": "2020-01-01T00:00:00Z"}}],
            })),
            ("GET", _) => Reply::error(404, "NotFound", "no ConfigMap"),
            ("POST", _) => Reply::error(403, "Forbidden", "a policy says no"),
            _ => Reply::ok(&json!({})),
        });
        let mut config = config();
        config.runner_delivery = DeliveryChoice::Auto;
        testing::provider();
        assert_eq!(decide(&api.client(), &config).await.unwrap(), Delivery::Init);
        assert_eq!(api.all("POST").len(), 1, "it was tried");
        assert!(api.all("PATCH").is_empty(), "a refusal is not remembered");
        let deleted = api.all("DELETE");
        assert_eq!(deleted.len(), 1);
        assert!(deleted[0].path.ends_with("/pods/left"));
    }
}
