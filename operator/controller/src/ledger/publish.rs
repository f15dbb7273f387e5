//! The ConfigMap that tells the CLI where the ledger is. For people who verify these are hints only: the trust file decides.

use ic_agent::export::Principal;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;

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
    let api: Api<ConfigMap> = Api::namespaced(ctx.client.clone(), &ctx.config.namespace);
    let map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": NAME, "labels": {"app.kubernetes.io/part-of": "dcanary", "app.kubernetes.io/instance": ctx.config.installation}},
        "data": {
            "network": url,
            "rootKey": hex::encode(root_key),
            "orchestrator": ledger.to_text(),
            "project": ctx.config.project,
            "domain": ctx.config.domain,
        },
    });
    api.patch(
        NAME,
        &PatchParams::apply("dcanary-operator").force(),
        &Patch::Apply(&map),
    )
    .await
    .map(drop)
}
