//! The ConfigMap that tells the CLI where the ledger is. For people who verify these are hints only: the trust file decides.

use ic_agent::export::Principal;
use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference};
use kube::{
    Api, Resource as _,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::context::Context;

/// Name of the ConfigMap.
pub const NAME: &str = "dcanary-ledger";

/// Writes the ConfigMap.
pub async fn publish(
    ctx: &Context,
    url: &str,
    root_key: &[u8],
    ledger: Principal,
) -> Result<(), kube::Error> {
    let data = json!({
        "network": url,
        "rootKey": hex::encode(root_key),
        "orchestrator": ledger.to_text(),
        "project": ctx.config.project,
        "domain": ctx.config.domain,
    });
    apply(ctx, NAME, &data).await
}

/// Writes a ConfigMap of the installation.
pub(super) async fn apply(ctx: &Context, name: &str, data: &Value) -> Result<(), kube::Error> {
    let api: Api<ConfigMap> = Api::namespaced(ctx.client.clone(), &ctx.config.namespace);
    let map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/part-of": "dcanary", "app.kubernetes.io/instance": ctx.config.installation}},
        "data": data,
    });
    let params = PatchParams::apply("dcanary-operator").force();
    api.patch(name, &params, &Patch::Apply(&map)).await.map(drop)
}

/// What Events about the ledger are about: the ConfigMap that says where it is.
pub async fn reference(ctx: &Context) -> ObjectReference {
    let api: Api<ConfigMap> = Api::namespaced(ctx.client.clone(), &ctx.config.namespace);
    match api.get_opt(NAME).await {
        Ok(Some(found)) => found.object_ref(&()),
        // described by name alone when it cannot be read now
        _ => ObjectReference {
            api_version: Some("v1".to_owned()),
            kind: Some("ConfigMap".to_owned()),
            name: Some(NAME.to_owned()),
            namespace: Some(ctx.config.namespace.clone()),
            ..ObjectReference::default()
        },
    }
}
