//! The example application: its images by digest, and Environments that run it.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::{Namespace, data_plane::PROMETHEUS};

/// Repository of its images; their tags are in `e2e/cluster/images/app.sh`.
const REPOSITORY: &str = "registry.local:5000/example-app";
/// Where this machine reaches the registry.
const REGISTRY: &str = "http://127.0.0.1:5000/v2";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Its gRPC method.
pub const METHOD: &str = "/dcanary.example.Web/Answer";
/// Longer than the time until a stopped Pod of it has drained.
pub const DRAINED: Duration = Duration::from_secs(30);

/// One of its images by digest, by tag: `1`, `2`, `3`, `2-errors`, `2-slow`, `2-crash`, `2-unready`.
///
/// # Errors
/// When the registry does not have it.
pub async fn image(tag: &str) -> Result<String> {
    pinned(&format!("{REPOSITORY}:{tag}")).await
}

/// An image of the local registry, by digest instead of tag.
///
/// # Errors
/// When the registry does not have it.
pub async fn pinned(reference: &str) -> Result<String> {
    let local = reference.strip_prefix("registry.local:5000/");
    let (name, tag) = local
        .and_then(|rest| rest.split_once(':'))
        .context("an image of the local registry, with a tag")?;
    let client = reqwest::Client::builder().no_proxy().build()?;
    let answer = client
        .head(format!("{REGISTRY}/{name}/manifests/{tag}"))
        .header("Accept", MANIFEST)
        .send()
        .await?
        .error_for_status()
        .with_context(|| format!("no image {reference}: run e2e/cluster/images/app.sh with --push"))?;
    let digest = answer
        .headers()
        .get("docker-content-digest")
        .context("no digest")?;
    Ok(format!("registry.local:5000/{name}@{}", digest.to_str()?))
}

/// `spec` of its Pods. Image `web` of the release goes into the only container.
pub fn pod_spec() -> Value {
    json!({
        "automountServiceAccountToken": false,
        "terminationGracePeriodSeconds": 15,
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{
            "name": "web",
            "image": "$(images.web)",
            "ports": [{"name": "http", "containerPort": 8080}],
            "env": [{"name": "DRAIN_SECONDS", "value": "3"}],
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1, "timeoutSeconds": 5, "failureThreshold": 2},
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        }],
    })
}

/// Template of its Pods, scraped by Prometheus.
pub fn pod_template() -> Value {
    json!({
        "metadata": {"annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"}},
        "spec": pod_spec(),
    })
}

/// Its analysis: the share of failures in the last five seconds, asked every second, at most one in twenty.
pub fn error_share() -> Value {
    let requests = |more: &str| {
        format!(
            "sum(rate(http_requests_total{{namespace=\"$(namespace)\",release=\"$(release)\"{more}}}[5s]))"
        )
    };
    json!({"metrics": [{
        "name": "error-share",
        "initialDelay": "5s",
        "interval": "1s",
        "count": 5,
        "failureLimit": 1,
        "inconclusiveLimit": 100,
        "success": "result <= 0.05",
        "failure": "result > 0.05",
        "prometheus": {"address": PROMETHEUS, "query": format!("{} / {}", requests(",code=~\"5..\""), requests(""))},
    }]})
}

impl Namespace {
    /// An Environment that runs the application on one Pod, reached through the Gateway under [`Namespace::host`].
    pub fn environment(&self, name: &str, strategy: &Value) -> Value {
        let mut environment = self.plain_environment(name, strategy);
        environment["spec"]["traffic"]["route"] = json!({"template": {
            "parentRefs": [{"name": "dcanary-test", "namespace": "gateway"}],
            "hostnames": [self.host(name)],
        }});
        if let Some(spec) = environment["spec"]["workload"]["template"]["spec"].as_object_mut() {
            spec.remove("minReadySeconds");
        }
        environment
    }

    /// An Environment that runs the application on one Pod, reached through plain Services. No gateway has to learn of them. Pods are most of
    /// what a delivery costs the machine: what is about several of them asks for them.
    pub fn plain_environment(&self, name: &str, strategy: &Value) -> Value {
        json!({
            "apiVersion": "dcanary.dev/v1alpha1", "kind": "Environment", "metadata": {"name": name},
            "spec": {
                "serviceAccountName": "deployer",
                "replicas": 1,
                "workload": {"template": {"spec": {"minReadySeconds": 0, "template": pod_template()}}},
                "strategy": strategy,
                "traffic": {"ports": [{"name": "http", "port": 80, "targetPort": 8080}], "drain": "3s"},
                "progressDeadline": "1m",
            },
        })
    }
}
