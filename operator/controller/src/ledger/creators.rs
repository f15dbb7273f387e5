//! Who may create canisters on the embedded node: this operator. The node waits for the ConfigMap as it does for its keys.

use ic_agent::export::Principal;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::json;

use crate::context::Context;

/// Writes the ConfigMap that the node is started with.
pub async fn name(ctx: &Context, operator: Principal) -> Result<(), kube::Error> {
    let name = format!("{}-ledger-creators", ctx.config.installation);
    let api: Api<ConfigMap> = Api::namespaced(ctx.client.clone(), &ctx.config.namespace);
    let map = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "labels": {"app.kubernetes.io/part-of": "dcanary", "app.kubernetes.io/instance": ctx.config.installation},
        },
        "data": {"creators": format!("{operator}\n")},
    });
    let params = PatchParams::apply("dcanary-operator").force();
    api.patch(&name, &params, &Patch::Apply(&map)).await.map(drop)
}
