//! The installed product: its Pods and the users as which they call the API server.

use anyhow::{Context, Result};
use dcanary_harness::Cluster;
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::ListParams};

/// A Pod of the product.
pub struct Component {
    /// UID of the Pod, as the kubelet's cgroups name it.
    pub uid: String,
    /// User name in the API server.
    pub user: String,
}

/// The running Pod of a component (`operator`, `server`).
///
/// # Errors
/// When there is none: the product is not installed.
pub async fn component(cluster: &Cluster, component: &str) -> Result<Component> {
    let namespace = &cluster.operator_namespace;
    let api: Api<Pod> = Api::namespaced(cluster.client.clone(), namespace);
    let labels = format!("app.kubernetes.io/name=dcanary,app.kubernetes.io/component={component}");
    let pods = api.list(&ListParams::default().labels(&labels)).await?;
    let running = |pod: &Pod| {
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        phase == Some("Running") && pod.metadata.deletion_timestamp.is_none()
    };
    let pod = pods
        .items
        .into_iter()
        .find(running)
        .with_context(|| format!("no {component} runs in namespace {namespace}: run `make up`"))?;
    let account = pod.spec.and_then(|spec| spec.service_account_name);
    Ok(Component {
        uid: pod.metadata.uid.unwrap_or_default(),
        user: format!(
            "system:serviceaccount:{namespace}:{}",
            account.as_deref().unwrap_or("default")
        ),
    })
}
